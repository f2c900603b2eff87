// Package originate adds TLS to connections to endpoints of services outside all clusters: applications speak plain HTTP or TCP, and the
// endpoint gets TLS, once it has proved that it is what the service's spec.tls expects. It holds the certificates of those services, which
// it reads again when their files change.
//
// It never dials, and chooses nothing. There is no way to accept an endpoint that proves nothing.
package originate
