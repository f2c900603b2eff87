// Package failover sends every connection to the nearest healthy endpoint:
// it listens for each service port, orders the candidates for each caller
// (own zone, own region, near peers, far peers; then pods that terminate and
// still serve; what is ejected at the very last), tries them until one accepts,
// ejects those that fail, and relays bytes so that a half-close stays a
// half-close and a reset stays a reset.
//
// It never reads manifests and never dials a peer by itself: the catalog comes
// from package discovery, streams to peers from package tunnel.
package failover
