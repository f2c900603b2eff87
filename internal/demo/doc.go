// Package demo is the world behind `eastway demo`: two clusters of two zones
// each on this machine's loopback addresses, in every zone a proxy and the
// chain mocka → mockb → mockc, all of them separate processes of the same
// binary; a load that enters at every mocka; a script of faults; and the
// account of what became of each request.
//
// It uses the product only as a user would: through its commands, its
// manifests and its admin listener. It never reaches into a proxy.
package demo
