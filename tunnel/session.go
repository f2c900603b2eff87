package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// session is one authenticated connection that carries many streams. TCP (TLS and yamux) and QUIC implement it;
// nothing else in this package knows which of them it has.
type session interface {
	// open starts a stream. The peer learns of it with its first byte.
	open() (rawStream, error)
	// accept waits for a stream of the peer's.
	accept(ctx context.Context) (rawStream, error)
	// close ends the session and all its streams at once; a second call does nothing.
	close(reason string)
	// done is closed when the session has ended.
	done() <-chan struct{}
	// alert is the TLS alert with which the peer ended the session, if there was one and the session has ended; it may
	// also be another reason.
	alert() error
	// heard is the time since the last inbound byte of the peer's process.
	heard() time.Duration
	// progress is the time since the path was last seen to work (bytes or acknowledgements from the peer's kernel).
	progress() time.Duration

	transport() string
	tlsState() tls.ConnectionState
	addrs() (local, remote net.Addr)
	stats() sessionStats
	// streams counts those that the session itself holds, where that can differ from what this package counts.
	streams() int
}

type sessionStats struct {
	congestion string
	rtt        time.Duration
	sent, lost uint64
	window     int // streams that may be open at a time
}

// rawStream is one stream of a session, without records.
type rawStream interface {
	io.Reader
	io.Writer
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// endWrite is called after the end record was written.
	endWrite()
	// finish is called once both directions have ended with their end records.
	finish()
	// abort gives both directions up. What was written before may still arrive, unless a Write is under way.
	abort(writing bool)
}

var errSessionClosed = errors.New("connection closed")
