// Package listen accepts connections for the services of the catalog: one
// listener for each address and port, so that the listener determines which service
// a caller means (Binding). It hands connections to a Handler, one for each protocol.
//
// It does not choose endpoints and never reads from a connection.
package listen
