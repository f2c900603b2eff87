//go:build race

package failover_test

// raceDetector makes everything about ten times slower: what moves much data moves less of it.
const raceDetector = true
