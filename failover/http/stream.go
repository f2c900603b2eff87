package http

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/eastway/eastway/failover/dial"
)

// streamConn makes a stream of a tunnel a net.Conn for net/http, which ends connections by Close and sets no write deadlines.
type streamConn struct{ dial.Stream }

// Close gives the stream up.
func (c streamConn) Close() error {
	c.Reset("the HTTP connection was closed")
	return nil
}

// awaitAnswer waits for the peer's answer after a write has failed: a peer that refuses the stream reads no further, and its refusal, which
// proves that it has used nothing, comes behind.
func (c streamConn) awaitAnswer() {
	timer := time.NewTimer(refusalTime)
	defer timer.Stop()
	select {
	case <-c.Answered():
	case <-timer.C:
	}
}

// leaving are the streams that this side has ended, and that are given up if the other side does not follow.
type leaving struct {
	mu     sync.Mutex
	closed bool
	timers map[dial.Stream]*time.Timer
	ending sync.WaitGroup
}

// leave ends a stream clean: so the endpoint at its other end sees no reset. It does not wait: a peer that reads nothing holds up a write,
// and the stream's end with it, until the stream is given up.
func (l *leaving) leave(c streamConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		_ = c.Close()
		return
	case l.timers[c.Stream] != nil:
		return
	case l.timers == nil:
		l.timers = make(map[dial.Stream]*time.Timer)
	}
	l.timers[c.Stream] = time.AfterFunc(leaveTime, func() {
		_ = c.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.timers, c.Stream)
	})
	l.ending.Go(func() { _ = c.CloseWrite() })
}

// close gives all streams up: the process ends.
func (l *leaving) close() {
	l.mu.Lock()
	l.closed = true
	for s, t := range l.timers {
		t.Stop()
		_ = streamConn{s}.Close()
	}
	clear(l.timers)
	l.mu.Unlock()
	l.ending.Wait()
}

type streamAddr string

func (streamAddr) Network() string  { return "tunnel" }
func (a streamAddr) String() string { return string(a) }

// LocalAddr implements net.Conn.
func (c streamConn) LocalAddr() net.Addr { return streamAddr(c.Info().Lane) }

// RemoteAddr implements net.Conn.
func (c streamConn) RemoteAddr() net.Addr { return streamAddr(c.Info().Replica) }

// SetDeadline implements net.Conn.
func (c streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetWriteDeadline implements net.Conn. net/http only takes one away.
func (streamConn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return errors.ErrUnsupported
}

// peerConn is a stream that a peer opened, as the connection of a client.
type peerConn struct {
	streamConn
	reading chan struct{} // holds a token while there is a reader
}

func newPeerConn(s dial.Stream) *peerConn {
	return &peerConn{streamConn: streamConn{s}, reading: make(chan struct{}, 1)}
}

// Read implements net.Conn. net/http may still read in the background while the connection is ended.
func (c *peerConn) Read(p []byte) (int, error) {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	return c.streamConn.Read(p)
}

// Broken implements clientConn.
func (c *peerConn) Broken() <-chan struct{} { return c.Done() }

// end implements clientConn. A clean end waits for that of the peer: what is sent has to be read before the stream is given up, and the
// application there may read slowly. Another call ends the wait.
func (c *peerConn) end(clean bool) {
	if clean && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(frontIdleTimeout))
		_, _ = io.CopyN(io.Discard, c, lingerBytes)
	}
	c.Reset("the HTTP connection was closed")
}
