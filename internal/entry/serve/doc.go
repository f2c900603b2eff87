// Package serve carries requests from outside to the addresses that a route.Table names: listeners that open and close with the table, TLS,
// HTTP/1.1 and HTTP/2, bounds on what clients can use up, and the drain. It reads no manifests, and does not choose a route.
package serve
