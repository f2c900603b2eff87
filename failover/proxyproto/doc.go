// Package proxyproto makes the header of the PROXY protocol, version 2, by which an endpoint learns who has called: the
// caller's address, as its cluster asserts it, and the name of that cluster. Address and name may be a peer's bytes.
//
// It writes to no connection, and does not decide which endpoints expect a header.
package proxyproto
