// Package health checks endpoints of the own cluster actively, as TrafficPolicies request it: an HTTP request, a TCP connect or a call of
// gRPC's health service, again and again. What it finds goes to the catalog: there an endpoint that fails its check is no longer ready, for
// the own calls and for what peers are sent.
//
// When to check and what a result means is decided by a state machine that is fed results and time (schedule, state). It never checks
// what is behind a peer: the peer's proxies do that.
package health
