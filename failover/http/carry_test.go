package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/http/sniff"
	"github.com/eastway/eastway/internal/relay"
)

// TestRequestReadBeforeDrain: a server that shuts down between the first bytes of a connection and its first request answers that
// request, and no further one.
func TestRequestReadBeforeDrain(t *testing.T) {
	t.Parallel()
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), zap.NewNop())
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, conn := pair(t)
	socket, err := newSocket(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFront(origin{})
	f.clientConn = socket
	f.begins(sniff.HTTP1, []byte("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\norder"))
	result := make(chan string, 1)
	go func() { result <- (&Handler{cfg: Config{Log: zap.NewNop()}}).carry(t.Context(), f, server) }()
	resp, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "order" || !resp.Close {
		t.Errorf("%q, %v, close is %v", body, err, resp.Close)
	}
	if r := <-result; r != access.OK {
		t.Error(r)
	}
}

// The same over HTTP/2, where a GOAWAY ends the connection.
func TestHTTP2RequestReadBeforeDrain(t *testing.T) {
	t.Parallel()
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), zap.NewNop())
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	client, conn := pair(t)
	socket, err := newSocket(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := newFront(origin{})
	f.clientConn = socket
	f.begins(sniff.HTTP2, nil)
	result := make(chan string, 1)
	go func() { result <- (&Handler{cfg: Config{Log: zap.NewNop()}}).carry(t.Context(), f, server) }()
	dialed := false
	transport := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) {
		if dialed {
			return nil, errors.New("the connection has ended")
		}
		dialed = true
		return client, nil
	}}
	transport.Protocols.SetUnencryptedHTTP2(true)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop/", strings.NewReader("order"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "order" {
		t.Errorf("%q, %v", body, err)
	}
	if r := <-result; r != access.OK { // the server has ended it
		t.Error(r)
	}
}

// pair is a connection over loopback.
func pair(t *testing.T) (client net.Conn, server relay.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := accepted.(relay.Conn)
	if !ok {
		t.Fatalf("%T is no relay.Conn", accepted)
	}
	return client, conn
}
