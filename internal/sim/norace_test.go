//go:build !race

package sim_test

// seeds that every change has to pass.
const seeds = 60

// times that what was found is run again, so that chance does not hide it.
const times = 20
