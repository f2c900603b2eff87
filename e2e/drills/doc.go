// Package drills is only tests: what Eastway promises, on real clusters where it
// was installed by helm, under load, while things break. Each test prints a
// table of what became of the load and writes it as JSON to bin/e2e/drills.
//
// The clusters are brought up once for all tests. With E2E_KEEP set they stay,
// and the next run with it uses them again, with Eastway built and installed
// anew: for work on a test.
package drills
