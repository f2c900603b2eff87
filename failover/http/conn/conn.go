package conn

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
)

// Errors of a connection that cannot be used.
var (
	errBusy        = errors.New("failover: the connection has a request")
	errClosed      = errors.New("failover: the connection was closed here")
	errUnsolicited = errors.New("failover: the endpoint sent something that nothing had requested")
	errPending     = errors.New("failover: the endpoint ended the connection, or sent something, before the request")
	errSwitched    = errors.New("failover: the connection was switched to another protocol")
	errNotKept     = errors.New("failover: the connection ends with its answer")
)

// state is what a connection is used for.
type state int

const (
	idle state = iota
	reserved
	inFlight
	over // closed, or another protocol's
)

// Conn is a connection for one request at a time. Its methods may be called from any goroutine, except that one goroutine at a time uses
// RoundTrip and the body of its answer.
type Conn struct {
	raw       net.Conn
	headBytes int64
	in        *bufio.Reader
	left      int64 // that may be read of the head under way
	ended     bool  // nothing more comes
	out       *bufio.Writer

	mu     sync.Mutex
	state  state
	err    error // why it is over
	closed bool
	// parked: a goroutine waits for the first byte, and reports to came if a request waits for that.
	parked, waits bool
	came          chan error
}

// New makes a Conn of a connection on which nothing was sent yet; it owns raw. Of the head of an answer, and of each interim one, it reads
// up to headBytes.
func New(raw net.Conn, headBytes int64) *Conn {
	c := &Conn{raw: raw, headBytes: headBytes, left: headBytes, came: make(chan error, 1)}
	c.in = bufio.NewReaderSize(source{c}, bufferSize)
	c.out = bufio.NewWriterSize(raw, bufferSize)
	return c
}

// source reads the connection within what is left of a head.
type source struct{ *Conn }

// Read implements io.Reader.
func (s source) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, fmt.Errorf("failover: the head of the answer has more than %d bytes", s.headBytes)
	}
	n, err := s.raw.Read(p[:min(int64(len(p)), s.left)])
	s.ended = s.ended || errors.Is(err, io.EOF)
	if s.left != math.MaxInt64 {
		s.left -= int64(n)
	}
	return n, err
}

// Reserve keeps the connection for one RoundTrip, or until Release.
func (c *Conn) Reserve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case idle:
		c.state = reserved
		return nil
	case over:
		return c.err
	default:
		return errBusy
	}
}

// Release ends a reservation.
func (c *Conn) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == reserved {
		c.restLocked()
	}
}

// Available is how many requests may be sent now.
func (c *Conn) Available() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == idle {
		return 1
	}
	return 0
}

// InFlight is how many requests it has, with a reserved place.
func (c *Conn) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == reserved || c.state == inFlight {
		return 1
	}
	return 0
}

// Err is why it cannot be used any more.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection, and a request that is under way.
func (c *Conn) Close() error {
	c.end(errClosed)
	return nil
}

// end closes the connection; why is for those who use it.
func (c *Conn) end(why error) {
	c.mu.Lock()
	c.overLocked(why)
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if !closed {
		_ = c.raw.Close()
	}
}

// overLocked lets no other request use the connection. The lock is held.
func (c *Conn) overLocked(why error) {
	if c.state != over {
		c.state, c.err = over, why
	}
}

// begin is called before a request is written; parked is true when another goroutine waits for the first byte of the answer.
func (c *Conn) begin() (parked bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case idle, reserved:
		c.state, c.waits = inFlight, c.parked
		return c.parked, nil
	case over:
		return false, c.err
	default:
		return false, errBusy
	}
}

// isPending is true when an end of the connection has come that its goroutine has not noticed yet. What is not written then is not
// executed, and can be sent on another connection.
func (c *Conn) isPending() bool {
	p, ok := c.raw.(interface{ Pending() bool })
	return ok && p.Pending()
}

// rest makes the connection wait for its next request.
func (c *Conn) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == inFlight {
		c.restLocked()
	}
}

// restLocked has another goroutine notice that the endpoint ends the connection. The lock is held.
func (c *Conn) restLocked() {
	c.state = idle
	if !c.parked {
		c.parked, c.left = true, c.headBytes
		go c.park()
	}
}

// park waits for the first byte, which only the answer to a request may be.
func (c *Conn) park() {
	_, err := c.in.Peek(1)
	c.mu.Lock()
	expected := c.waits
	c.parked, c.waits = false, false
	if err == nil && !expected {
		err = errUnsolicited
	}
	if !expected {
		c.overLocked(err)
	}
	c.mu.Unlock()
	if expected {
		c.came <- err
		return
	}
	c.end(err)
}
