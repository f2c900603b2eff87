package http

import (
	"fmt"

	"github.com/eastway/eastway/internal/relay"
)

// socket is a TCP connection with what package relay knows of sockets: a reset never reads as a clean end, and a host that
// vanished is noticed.
type socket struct {
	relay.Conn
	relay relay.Socket
}

func newSocket(conn relay.Conn, watch *relay.Watch) (*socket, error) {
	s, err := relay.NewSocket(conn, watch)
	if err != nil {
		return nil, fmt.Errorf("failover: %w", err)
	}
	return &socket{Conn: conn, relay: s}, nil
}

// Read implements net.Conn.
func (s *socket) Read(p []byte) (int, error) { return s.relay.Read(p) }

// Write implements net.Conn.
func (s *socket) Write(p []byte) (int, error) { return s.relay.Write(p) }

// Broken is closed when the client has reset the connection, or its host has vanished.
func (s *socket) Broken() <-chan struct{} { return s.relay.Broken() }

// CloseWrite ends the write side clean.
func (s *socket) CloseWrite() error { return s.relay.CloseWrite() }

// Close ends it clean.
func (s *socket) Close() error {
	s.end(true)
	return nil
}

// end closes the connection: with everything sent, or with a reset.
func (s *socket) end(clean bool) {
	if clean {
		_ = s.SetLinger(-1)
	}
	s.relay.Abort("")
}
