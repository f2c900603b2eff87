// Package tunnel owns the lanes between this proxy and its peers' proxies:
// dialling and accepting them over TCP (TLS 1.3 and yamux) and QUIC, the
// handshake, opening, answering, ending and resetting streams, noticing
// silence, moving QUIC connections to another network path, draining, and
// choosing a lane for a stream.
//
// It knows nothing of services beyond the words in a stream's header, and
// carries the typed messages of other packages without looking into them.
package tunnel
