// Package tunnel owns the links between this proxy and its peers' proxies: the
// handshake, opening, answering, ending and resetting streams, noticing silence,
// draining, and choosing a lane for a stream. A link's life is phase; how it is
// judged by its silence is package vitals. Package transport carries the bytes of a
// lane, package wire has the protocol.
//
// It knows nothing of services beyond the names in a stream's header, and
// carries the typed messages of other packages without looking into them.
package tunnel
