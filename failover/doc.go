// Package failover sends every connection to the nearest healthy endpoint. A
// Proxy wires the packages below it together, each of which imports only those above it in this list:
//
//	access    the access log: one line per connection, of any protocol
//	registry  connections in flight: counted, bounded, drained
//	health    active health checks of the own cluster's endpoints
//	balance   which candidates, in which order: health, ejection, affinity, policy (weights go here)
//	dial      reaching one of them: attempts, races, early bytes, probes
//	listen    listeners and what their callers mean; a Handler per protocol
//	tcp       carrying TCP: outbound from applications, inbound from peers
//
// A handler for HTTP will stand beside tcp: it chooses, dials and reports through balance and
// dial per request, and is the place of its retries.
//
// Nothing here reads manifests or dials a peer by itself: the catalog comes
// from package discovery, streams to peers from package tunnel.
package failover
