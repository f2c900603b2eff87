// Package drills is only tests: what Eastway promises, under load, while things break. Each test prints a
// table of what became of the load and writes it as JSON to bin/e2e/drills; a summary follows, beside what is published of others.
//
// TestDrills runs all drills on real clusters, where Eastway was installed by helm: the first call, as the README leads to it;
// services that do not listen, or answer 503, in a zone and a region; weights of regions; one service of two clusters with health
// checks; a service outside all clusters; one that loses its endpoints, behind an ordinary ingress (nginx, which calls cluster
// IPs and keeps connections); a proxy or leader killed; no API server; another
// tunnel address; a zone lost; an upgrade; a side without a public address.
//
// TestFileMode runs those of them that are about services alone in file mode, with the same manifests, load and applications: all are
// processes on loopback addresses. It needs neither root nor Kubernetes. One more kills a region, its name server included, while clients
// resolve a name that both regions have.
//
// The clusters are brought up once for all tests. With E2E_KEEP=NAME they have
// that name and stay, and the next run uses them again, with Eastway installed
// anew (by the test "first call"; without it as it is): for work on a test. Logs and manifests of file mode stay, too, in
// bin/e2e/NAME.
package drills
