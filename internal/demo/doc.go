// Package demo is the world behind `eastway demo`: two clusters of two zones each on this machine's loopback addresses,
// in every zone two proxies and the chain mocka → mockb → mockc, all of them separate processes of the same binary; a load
// from every zone; a script of faults; and the account of what became of each request.
//
// It uses the product only as a user would: through its commands, its manifests, its admin listener and its access log. What
// the node agent does with nftables on a real node, an agent of the demo's own does with a file that its callers read
// (routes): it probes the proxies and leads each zone's calls to the nearest ones that are ready.
package demo
