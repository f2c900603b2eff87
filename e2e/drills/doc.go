// Package drills is only tests: what Eastway promises, on real clusters where it
// was installed by helm, under load, while things break. Each test prints a
// table of what became of the load and writes it as JSON to bin/e2e/drills.
//
// The drills: the first call, as the README leads to it; services that do not listen,
// or answer 503, in a zone and a region; weights of regions; the first of these also behind an ordinary ingress (nginx, which calls cluster
// IPs and keeps connections); a proxy or leader killed; no API server; another
// tunnel address; a zone lost; an upgrade; a side without a public address.
//
// The clusters are brought up once for all tests. With E2E_KEEP=NAME they have
// that name and stay, and the next run uses them again, with Eastway installed
// anew (by the test "first call"; without it as it is): for work on a test.
package drills
