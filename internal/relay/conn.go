package relay

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Conn is a connection that can be half-closed and reset, as *net.TCPConn can. One of another network (a simulated one)
// reports a reset by errors that wrap syscall.ECONNRESET or syscall.EPIPE. If it has a method Broken() <-chan struct{}, that
// channel is closed when the other side has reset the connection, so that a reset counts also while nothing reads.
type Conn interface {
	net.Conn
	// CloseWrite ends the write side clean, as a FIN does.
	CloseWrite() error
	// SetLinger with 0 makes Close reset the connection and discard what is unsent; with a negative value Close sends
	// everything and ends clean.
	SetLinger(sec int) error
}

// AsConn is c as a Conn. One that cannot be half-closed and reset is closed.
func AsConn(c net.Conn) (Conn, error) {
	if conn, ok := c.(Conn); ok {
		return conn, nil
	}
	_ = c.Close()
	return nil, fmt.Errorf("relay: connection %v to %v: %T has no CloseWrite and SetLinger: use a network whose connections have them",
		c.LocalAddr(), c.RemoteAddr(), c)
}

// Socket is an End on a Conn, which can also be read before the relay runs.
type Socket interface {
	End
	// Interrupt makes a Read that is under way, and later ones, return an error that is os.ErrDeadlineExceeded without losing a
	// byte, until Resume.
	Interrupt()
	// Resume undoes Interrupt.
	Resume()
}

// NewSocket makes conn an End and owns it from here on, also when it fails. What is special to TCP sockets applies to a
// *net.TCPConn only, see NewTCP, and to a Conn with a method NetConn that returns the one below it, as TLS has.
func NewSocket(conn Conn, watch *Watch) (Socket, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		t, err := NewTCP(tcp, watch)
		if err != nil {
			return nil, err // not a nil *TCP in an interface
		}
		return t, nil
	}
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok {
		if tcp, ok := over.NetConn().(*net.TCPConn); ok {
			return newLayered(conn, tcp, watch)
		}
	}
	s := &plainSocket{socket{conn: conn, forget: func() {}}}
	if n, ok := conn.(interface{ Broken() <-chan struct{} }); ok {
		s.broken = n.Broken()
	}
	if err := s.resetOnClose(); err != nil {
		return nil, err
	}
	return s, nil
}

// socket is what every Socket has in common.
type socket struct {
	conn    Conn
	broken  <-chan struct{} // nil: a reset is noticed by reading and writing only
	forget  func()          // ends what noticed the reset
	endOnce sync.Once
}

// resetOnClose makes the connection end with a reset unless release ends it, also when this process is killed: the
// kernel closes what is open then, and an end that comes with a FIN would look as if everything had arrived.
func (s *socket) resetOnClose() error {
	if err := s.conn.SetLinger(0); err != nil {
		s.Abort("")
		return fmt.Errorf("relay: make %v reset on close: %w", s.conn.RemoteAddr(), err)
	}
	return nil
}

// Abort sends a reset and drops whatever was not sent yet.
func (s *socket) Abort(string) {
	s.endOnce.Do(func() {
		s.forget()
		_ = s.conn.Close() // with a reset, see resetOnClose
	})
}

func (s *socket) release() {
	s.endOnce.Do(func() {
		s.forget()
		_ = s.conn.SetLinger(-1)
		_ = s.conn.Close()
	})
}

// Broken is closed when the other side has reset the connection.
func (s *socket) Broken() <-chan struct{} { return s.broken }

// Interrupt implements Socket.
func (s *socket) Interrupt() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

// Resume implements Socket.
func (s *socket) Resume() { _ = s.conn.SetReadDeadline(time.Time{}) }

// plainSocket is a Socket on a Conn of which only the methods are known.
type plainSocket struct{ socket }

func (s *plainSocket) Read(p []byte) (int, error)        { return s.conn.Read(p) }
func (s *plainSocket) Write(p []byte) (int, error)       { return s.conn.Write(p) }
func (s *plainSocket) CloseWrite() error                 { return s.conn.CloseWrite() }
func (s *plainSocket) readBuffer(b *buffer) (int, error) { return s.Read(b.acquire()) }

// flush has nothing to do: how much of what was written has left cannot be known.
func (*plainSocket) flush() {}
