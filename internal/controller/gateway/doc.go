// Package gateway does what a cluster has to do for Gateways of Eastway's
// GatewayClasses: each gets a Service of its own in the installation's
// namespace that leads to the entries, and the addresses of that Service as its
// own; each class gets its status. The Service remembers on which port of the
// entries' processes each port of the Gateway's listeners is.
//
// It waits for the definitions of Gateway API, and does nothing where no entries
// are installed. What routes and listeners mean, and the conditions of Gateways,
// are the entries' business.
package gateway
