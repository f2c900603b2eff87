//go:build !race

package sim_test

// seeds that every change has to pass.
const seeds = 60
