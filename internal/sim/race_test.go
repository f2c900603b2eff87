//go:build race

package sim_test

// seeds with the race detector, which makes a run five times as long.
const seeds = 15

// times that what was found is run again; `make bulk` does it more often.
const times = 5
