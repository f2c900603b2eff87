package certs_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// handshakeLimit ends a test whose handshake hangs; no result depends on it.
const handshakeLimit = time.Minute

// outcome is what both ends saw of one connection over which one byte went each way.
type outcome struct {
	client, server           error
	clientState, serverState tls.ConnectionState
}

type handshaker func(t *testing.T, client, server *tls.Config) outcome

// transports are the two ways in which the same configurations are used.
var transports = map[string]handshaker{"tcp": overTCP, "quic": overQUIC}

func overTCP(t *testing.T, client, server *tls.Config) (o outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), handshakeLimit)
	defer cancel()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			o.server = err
			return
		}
		defer raw.Close()
		c := tls.Server(raw, server)
		if o.server = c.HandshakeContext(ctx); o.server == nil {
			o.server = echo(c)
		}
		o.serverState = c.ConnectionState()
	}()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := tls.Client(raw, client)
	if o.client = c.HandshakeContext(ctx); o.client == nil {
		o.client = ask(c) // with TLS 1.3 a client learns only now that the server refused it
	}
	o.clientState = c.ConnectionState()
	raw.Close()
	<-done
	return o
}

func overQUIC(t *testing.T, client, server *tls.Config) (o outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), handshakeLimit)
	defer cancel()
	dialer, listener := udpTransport(t), udpTransport(t)
	// A refused connection never comes out of Accept; its error is seen where it is made.
	refused := make(chan error, 1)
	server = recordRefusal(server, refused)
	l, err := listener.Listen(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type accepted struct {
		state tls.ConnectionState
		err   error
	}
	done := make(chan accepted, 1)
	actx, stop := context.WithCancel(ctx)
	go func() {
		c, err := l.Accept(actx)
		if err != nil {
			done <- accepted{err: err}
			return
		}
		s, err := c.AcceptStream(ctx)
		if err == nil {
			err = echo(s)
		}
		done <- accepted{c.ConnectionState().TLS, err}
	}()
	c, err := dialer.Dial(ctx, l.Addr(), client, nil)
	if err == nil {
		o.clientState = c.ConnectionState().TLS
		var s *quic.Stream
		if s, err = c.OpenStreamSync(ctx); err == nil {
			err = ask(s)
		}
		if err == nil { // the server is done with the stream, too
			a := <-done
			o.serverState, o.server = a.state, a.err
		}
		c.CloseWithError(0, "")
	}
	stop()
	if o.client = err; err != nil {
		a := <-done
		o.serverState, o.server = a.state, a.err
		select {
		case o.server = <-refused:
		default:
		}
	}
	return o
}

func udpTransport(t *testing.T) *quic.Transport {
	t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: udp}
	t.Cleanup(func() {
		tr.Close()
		udp.Close()
	})
	return tr
}

// recordRefusal keeps what VerifyConnection said, which quic-go sends only to the other side.
func recordRefusal(c *tls.Config, refused chan<- error) *tls.Config {
	c = c.Clone()
	verify := c.VerifyConnection
	if verify == nil {
		return c
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		err := verify(cs)
		if err != nil {
			refused <- err
		}
		return err
	}
	return c
}

func echo(rw io.ReadWriter) error {
	b := make([]byte, 1)
	if _, err := io.ReadFull(rw, b); err != nil {
		return err
	}
	_, err := rw.Write(b)
	return err
}

func ask(rw io.ReadWriter) error {
	if _, err := rw.Write([]byte{'?'}); err != nil {
		return err
	}
	_, err := io.ReadFull(rw, make([]byte, 1))
	return err
}
