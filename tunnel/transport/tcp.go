package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/pace"
)

// TCPConfig is the network below a TCP transport. The zero value is the real one.
type TCPConfig struct {
	// Dial connects to HOST:PORT; nil: the kernel's TCP, with congestion control BBR where that is allowed, and with segments that fit
	// any path.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Listen binds IP:PORT; nil: the kernel's TCP, likewise. Connections need not be *net.TCPConn: what only the kernel
	// can tell or do (TCP_INFO, congestion control, TCP_USER_TIMEOUT) is left out then.
	Listen func(ctx context.Context, addr string) (net.Listener, error)
}

// TCP is TLS 1.3 over TCP, and in it yamux' frames.
type TCP struct {
	cfg TCPConfig
}

// NewTCP fills in what the config leaves out.
func NewTCP(cfg TCPConfig) *TCP {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			d := net.Dialer{Control: setOptions}
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if cfg.Listen == nil {
		cfg.Listen = func(ctx context.Context, addr string) (net.Listener, error) {
			lc := net.ListenConfig{Control: setOptions}
			lc.SetMultipathTCP(false) // it has no size of segments
			return lc.Listen(ctx, "tcp", addr)
		}
	}
	return &TCP{cfg: cfg}
}

// Caps implements Transport.
func (t *TCP) Caps() Caps { return tcpCaps() }

// Close implements Transport.
func (t *TCP) Close() error { return nil }

// Dial implements Transport.
func (t *TCP) Dial(ctx context.Context, to Target) (Session, error) {
	c, err := t.cfg.Dial(ctx, to.Address)
	if err != nil {
		return nil, fmt.Errorf("tunnel: TCP to peer %s: %w", to.Peer, inTime(err))
	}
	pulse := newPulseConn(c)
	conn := tls.Client(pulse, to.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("tunnel: TLS with peer %s at %s: %w", to.Peer, to.Address, inTime(err))
	}
	return newTCPSession(conn, pulse, true), nil
}

// Listen implements Transport.
func (t *TCP) Listen(ctx context.Context, addr string, cfg *tls.Config, gate Gate) (Listener, error) {
	ln, err := t.cfg.Listen(ctx, addr)
	if err != nil {
		return nil, bindError("TCP", addr, err)
	}
	return &tcpListener{Listener: ln, tls: watchHello(cfg), gate: gate}, nil
}

type tcpListener struct {
	net.Listener
	tls  *tls.Config
	gate Gate
}

// Serve implements Listener.
func (l *tcpListener) Serve(ctx context.Context, handle func(context.Context, Session)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	backoff := acceptBackoffMin
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			l.gate.Retrying(err)
			if !pace.Sleep(ctx, backoff) {
				return nil
			}
			backoff = min(2*backoff, acceptBackoffMax)
			continue
		}
		backoff = acceptBackoffMin
		place := l.gate.Admit(c.RemoteAddr(), func() { _ = c.Close() })
		wg.Go(func() {
			defer place.Leave()
			if sess := l.handshake(ctx, c, place); sess != nil {
				handle(ctx, sess)
			}
		})
	}
}

// handshake authenticates an inbound connection; nil when that failed.
func (l *tcpListener) handshake(ctx context.Context, c net.Conn, place Place) Session {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	err := c.SetReadDeadline(time.Now().Add(clientHelloTimeout)) // that of all its bytes
	silent := true
	ctx = withHello(ctx, func() error {
		silent = false
		place.Hello()
		return c.SetReadDeadline(time.Time{})
	})
	pulse := newPulseConn(c)
	turns := &turnConn{Conn: pulse, ctx: ctx, place: place}
	conn := tls.Server(turns, l.tls)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	turns.end()
	if err != nil {
		switch {
		case silent && errors.Is(err, os.ErrDeadlineExceeded):
			err = ErrNoHello
		case !turns.heard && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
			err = ErrNoByte
		}
		place.Failed(tcpCaps().Name, err)
		_ = c.Close()
		return nil
	}
	place.Proved()
	return newTCPSession(conn, pulse, false)
}

func bindError(network, addr string, err error) error {
	hint := "check that the address is one of this machine's"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another process has it: stop that one or choose another port (--listen)"
	case errors.Is(err, syscall.EACCES):
		hint = "no permission to bind it: choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
	}
	return fmt.Errorf("tunnel: listen for tunnels on %s %s: %w: %s", network, addr, err, hint)
}

// inTime adds to a deadline that passed how long it was.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", HandshakeTimeout, err)
	}
	return err
}
