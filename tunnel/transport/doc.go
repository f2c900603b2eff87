// Package transport carries authenticated sessions of many streams between two
// proxies: over TCP (TLS 1.3 with yamux' frames inside) and over QUIC. A Session tells
// with its Caps what it can do (how many streams, which silence ends it, whether
// it can move to another network path, how well it suits bulk), so that nothing
// above compares names or types. Package mem has a third transport, for tests.
//
// It knows nothing of links, records or headers: a stream is bytes. It does not
// decide when to dial, whom to trust (the tls.Config does) or when a session is
// given up.
package transport
