// Package slots bounds the connections to the endpoints of a service port, and the
// requests that wait for one, as Envoy's circuit breakers max_connections and
// max_pending_requests do. It counts and decides who is next; it has no connections and
// no clock. failover/http and failover/tcp share one Table.
package slots
