package transport

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
)

// yamuxConn stands between TLS and yamux.
//
// It closes the socket without first trying to write a TLS alert, which would wait for a peer that does not read.
// Truncation is noticed by end records, so the alert has no use here.
//
// And it refuses yamux' own pings: Eastway never sends one, and yamux answers each in a goroutine of its own that
// waits for the peer to read, so a peer that sends them and does not read would cost memory without bound.
//
// It keeps the alert that ended the connection: yamux tells of its own end only.
type yamuxConn struct {
	net.Conn
	raw    net.Conn
	scan   yamuxScan
	reason atomic.Pointer[net.OpError]
}

func (c *yamuxConn) alert() error {
	if op := c.reason.Load(); op != nil {
		return op
	}
	return nil
}

func (c *yamuxConn) Close() error { return c.raw.Close() }

func (c *yamuxConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if scanErr := c.scan.bytes(p[:n]); scanErr != nil {
		return 0, scanErr
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		c.reason.Store(op)
	}
	return n, err
}

// The header of a yamux frame (spec.md of hashicorp/yamux): version, type, flags (2), stream (4), length (4). Only
// data frames are followed by length bytes.
const (
	yamuxHeader   = 12
	yamuxTypeData = 0
	yamuxTypePing = 2
)

var errYamuxPing = errors.New("tunnel: the peer sent a yamux ping, which this protocol does not use")

// yamuxScan follows the frames in a stream of bytes, however it is cut into pieces.
type yamuxScan struct {
	header [yamuxHeader]byte
	have   int    // bytes of the header
	body   uint32 // bytes of a frame's body that are still to come
}

func (s *yamuxScan) bytes(b []byte) error {
	for len(b) > 0 {
		if s.body > 0 {
			n := min(uint64(s.body), uint64(len(b)))
			s.body -= uint32(n) //nolint:gosec // at most s.body
			b = b[n:]
			continue
		}
		n := copy(s.header[s.have:], b)
		s.have += n
		b = b[n:]
		if s.have < yamuxHeader {
			return nil
		}
		s.have = 0
		switch s.header[1] {
		case yamuxTypePing:
			return errYamuxPing
		case yamuxTypeData:
			s.body = binary.BigEndian.Uint32(s.header[8:])
		}
	}
	return nil
}
