// Package siblings connects the controller with the proxies of its own cluster: it dials each of them with the cluster's own
// SVID, over the same protocol as peers, and takes in what they pass on. It never serves a connection and never listens.
package siblings
