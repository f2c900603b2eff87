//go:build race

package sim_test

// seeds with the race detector, which makes a run five times as long.
const seeds = 15
