// Package tcp carries TCP connections: those that applications open here, to an
// endpoint of the own cluster or through a peer, and those that peers open, to
// an endpoint of the own cluster. What a connection needs comes from the packages beside it:
// candidates from balance, the connection to one from dial, the bytes from internal/relay.
//
// It neither chooses nor retries, and never looks into the bytes.
package tcp
