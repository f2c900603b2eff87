package simnet

import (
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// What ends a connection.
const (
	errReset   = syscall.ECONNRESET
	errTimeout = syscall.ETIMEDOUT
)

// Conn is one end of a connection. It has the methods of *net.TCPConn that Eastway uses, and Broken.
type Conn struct {
	net           *Network
	proc          *Process
	local, remote netip.AddrPort
	born          uint64
	peer          *Conn
	in, out       *pipe
	changed       signal
	broken        chan struct{}

	readBy, writeBy deadline
	linger          int
	idle            *time.Timer // runs since a silence began
	closed          bool        // its process has no more use of it
	reset           bool        // it ended with a RST: nothing is sent again
	gone            bool        // its host has lost it
	ended           bool        // FIN sent
	err             error
}

// deadline of reading or writing.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// connect makes both ends of a connection.
func (n *Network) connect(client, server *Process, from, to netip.AddrPort) *Conn {
	end := func(p *Process, local, remote netip.AddrPort) *Conn {
		c := &Conn{
			net: n, proc: p, local: local, remote: remote, linger: -1, changed: newSignal(), broken: make(chan struct{}),
		}
		n.born++
		c.born = n.born
		n.conns[c] = struct{}{}
		return c
	}
	a, b := end(client, from, to), end(server, to, from)
	a.peer, b.peer = b, a
	a.out, b.out = newPipe(a, b), newPipe(b, a)
	a.in, b.in = b.out, a.out
	return a
}

// sorted are the ends that pick takes, oldest first: maps have no order, and runs shall be alike.
func (n *Network) sorted(pick func(*Conn) bool) []*Conn {
	var out []*Conn
	for c := range maps.Keys(n.conns) {
		if pick(c) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *Conn) int { return int(a.born) - int(b.born) })
	return out
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.read(b)
	if err == io.EOF { //nolint:errorlint // net.Conn returns io.EOF itself
		return n, err
	}
	return n, c.op("read", err)
}

func (c *Conn) read(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case c.in.unread > 0:
			n := c.in.read(b)
			c.peer.changed.wake()
			return n, nil
		case c.err != nil:
			return 0, os.NewSyscallError("read", c.err)
		case c.in.eof:
			return 0, io.EOF
		}
		c.wait()
	}
}

// Write implements net.Conn. What the host's load or pause costs delays the bytes, not the call.
func (c *Conn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	sent := 0
	for {
		switch {
		case c.closed:
			return sent, c.op("write", net.ErrClosed)
		case c.err != nil:
			return sent, c.op("write", os.NewSyscallError("write", c.err))
		case c.ended:
			return sent, c.op("write", os.NewSyscallError("write", syscall.EPIPE))
		case c.writeBy.passed():
			return sent, c.op("write", os.ErrDeadlineExceeded)
		case sent == len(b):
			return sent, nil
		case c.out.used < c.out.size:
			sent += c.out.write(b[sent:])
		default:
			c.wait()
		}
	}
}

// wait lets go of the lock until something has changed.
func (c *Conn) wait() {
	changed := c.changed.next()
	c.net.mu.Unlock()
	<-changed
	c.net.mu.Lock()
}

// CloseWrite sends a FIN behind what was written.
func (c *Conn) CloseWrite() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	switch {
	case c.closed:
		return c.op("close", net.ErrClosed)
	case c.err != nil:
		return c.op("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.end()
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.op("close", net.ErrClosed)
	}
	c.close()
	return nil
}

func (c *Conn) end() {
	if !c.ended && c.err == nil && !c.gone {
		c.ended = true
		c.out.push(segment{fin: true})
	}
}

// close is what the kernel does with a socket that no process has any more.
func (c *Conn) close() {
	if c.closed {
		return
	}
	unread := c.in.unread > 0
	c.closed = true
	c.forgetUnread()
	switch {
	case c.err != nil || c.gone:
	case c.linger == 0 || unread:
		c.reset = true
		c.out.push(segment{rst: true})
	default:
		c.end()
	}
	c.wake()
	c.settle()
}

func (c *Conn) forgetUnread() {
	c.in.used -= c.in.unread + c.in.owed
	c.in.arrived, c.in.unread, c.in.owed = nil, 0, 0
	c.peer.changed.wake()
}

// fail ends the connection for its process; what has arrived may still be read.
func (c *Conn) fail(err error) {
	if c.err == nil && !c.gone {
		c.out.drop()
	}
	c.broke(err)
}

// broke is fail for a connection whose last bytes still arrive.
func (c *Conn) broke(err error) {
	if c.err != nil || c.gone {
		return
	}
	c.err = err
	close(c.broken)
	c.wake()
	c.settle()
}

// vanish is the end of a connection whose host has lost its memory.
func (c *Conn) vanish() {
	c.gone, c.closed = true, true
	c.forgetUnread()
	c.wake()
	c.settle()
}

func (c *Conn) wake() {
	c.changed.wake()
	c.peer.changed.wake()
}

// settle takes an end off the books that holds nothing any more.
func (c *Conn) settle() {
	if !c.closed || len(c.out.flight) > 0 {
		return
	}
	delete(c.net.conns, c)
	for _, t := range []*time.Timer{c.readBy.timer, c.writeBy.timer, c.idle} {
		if t != nil {
			t.Stop()
		}
	}
}

func (c *Conn) op(op string, err error) error {
	if err == nil {
		return nil
	}
	return opError(op, c.local, c.remote, err)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetLinger is as for *net.TCPConn: 0 has Close send a RST.
func (c *Conn) SetLinger(sec int) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.linger = sec
	return nil
}

// SetWriteBuffer sets how many bytes that the other side has not read a write may leave behind without blocking.
func (c *Conn) SetWriteBuffer(bytes int) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.out.size = bytes
	c.changed.wake()
	return nil
}

// Broken is closed when the connection was reset or timed out.
func (c *Conn) Broken() <-chan struct{} { return c.broken }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return c.op("set deadline", net.ErrClosed)
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.at = t
	if !t.IsZero() && time.Until(t) > 0 {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.net.mu.Lock()
			defer c.net.mu.Unlock()
			c.changed.wake()
		})
	}
	c.changed.wake()
	return nil
}
