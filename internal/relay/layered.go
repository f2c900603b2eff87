package relay

import (
	"encoding/binary"
	"errors"
	"net"
)

// layered is a Socket on a Conn above a TCP socket, such as TLS: bytes pass through the Conn, and what is special to TCP sockets applies
// to the one below it.
type layered struct {
	plainSocket
	tcp *TCP
}

// newLayered owns conn from here on, also when it fails.
func newLayered(conn Conn, below *net.TCPConn, watch *Watch) (Socket, error) {
	t, err := NewTCP(below, watch)
	if err != nil {
		return nil, err
	}
	l := &layered{plainSocket{socket{conn: conn, broken: t.broken, forget: t.forget}}, t}
	if err := l.resetOnClose(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *layered) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	return n, l.cause(err)
}

func (l *layered) Write(p []byte) (int, error) {
	n, err := l.conn.Write(p)
	return n, l.cause(err)
}

func (l *layered) CloseWrite() error { return l.cause(l.conn.CloseWrite()) }

func (l *layered) readBuffer(b *buffer) (int, error) { return l.Read(b.acquire()) }

func (l *layered) flush() { l.tcp.flush() }

// cause is that of the socket below, if the error is its own.
func (l *layered) cause(err error) error {
	below, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err
	}
	if cause := l.tcp.cause(below); !errors.Is(cause, below) {
		return cause
	}
	return err
}

// pending is true when the socket has ended, or TLS ends with what it holds.
func (l *layered) pending() bool {
	var next [peekSize]byte
	n, ended := peek(l.tcp.raw, next[:])
	return ended || endsTLS(next[:n])
}

// The parts of a TLS record, RFC 8446, 5.
const (
	recordHeader = 5 // type, version, and the length of the rest
	alertType    = 21
	// sealedAlert is the length of an alert in TLS 1.3: its two bytes, its type, and the tag of any of its cipher suites.
	sealedAlert = 2 + 1 + 16
)

// endsTLS is true when a record among those that begin with p is an alert. Others, such as session tickets, come at any time.
func endsTLS(p []byte) bool {
	for len(p) >= recordHeader {
		length := int(binary.BigEndian.Uint16(p[3:]))
		if p[0] == alertType || length == sealedAlert {
			return true
		}
		p = p[min(recordHeader+length, len(p)):]
	}
	return false
}
