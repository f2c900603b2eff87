// Package server answers DNS queries for the zones that it is given, authoritatively, over UDP and TCP, within bounds: of the size of answers,
// of responses per client, of connections. It never recurses, transfers a zone, or judges an address.
package server
