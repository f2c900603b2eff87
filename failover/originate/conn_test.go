package originate

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/originate/origintest"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/relay"
)

// joined is a client whose bytes a relay carries to a server over TLS.
type joined struct {
	client relay.Conn
	server *tls.Conn
	result <-chan relay.Result
}

func join(t *testing.T) joined {
	t.Helper()
	ca := origintest.New(t)
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: ca.File(t)}
	conn, server, err := connect(t.Context(), t, apply(t, Config{}, spec), spec, "", "",
		&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, time.Now().Add(time.Hour), "mydb.test")}})
	if err != nil {
		t.Fatal(err)
	}
	client, app := sockets(t)
	left, err := relay.NewSocket(app, nil)
	if err != nil {
		t.Fatal(err)
	}
	right, err := relay.NewSocket(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan relay.Result, 1)
	go func() { result <- relay.Run(t.Context(), left, right, nil, 0) }()
	return joined{client, server, result}
}

// half is an end that can be half-closed.
type half interface {
	io.ReadWriter
	CloseWrite() error
}

// A half-close passes both ways as such: close_notify on the side of TLS.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	for name, turn := range map[string]bool{"the client first": false, "the server first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := join(t)
			first, second := half(j.client), half(j.server)
			if turn {
				first, second = second, first
			}
			for _, way := range [][2]half{{first, second}, {second, first}} {
				if _, err := io.WriteString(way[0], "all of it"); err != nil {
					t.Fatal(err)
				}
				if err := way[0].CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(way[1]); err != nil || string(got) != "all of it" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			if res := <-j.result; res.How != relay.Closed {
				t.Errorf("ended %v", res)
			}
		})
	}
}

// A connection that ends without close_notify is no end: an answer may have been cut short.
func TestCutShort(t *testing.T) {
	t.Parallel()
	j := join(t)
	if _, err := io.WriteString(j.server, "half of an ans"); err != nil {
		t.Fatal(err)
	}
	if err := j.server.NetConn().(relay.Conn).CloseWrite(); err != nil { // a FIN alone
		t.Fatal(err)
	}
	got, err := io.ReadAll(j.client)
	if string(got) != "half of an ans" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %q, %v; want a reset behind it", got, err)
	}
	if res := <-j.result; res.How != relay.Reset || res.By != relay.Server || !strings.Contains(res.Err.Error(), "close_notify") {
		t.Errorf("ended %v", res)
	}
}

// A reset passes as one, both ways.
func TestReset(t *testing.T) {
	t.Parallel()
	t.Run("of the client", func(t *testing.T) {
		t.Parallel()
		j := join(t)
		_ = j.client.SetLinger(0)
		_ = j.client.Close()
		if _, err := io.ReadAll(j.server); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the server got %v", err)
		}
	})
	t.Run("of the server", func(t *testing.T) {
		t.Parallel()
		j := join(t)
		below := j.server.NetConn().(relay.Conn)
		_ = below.SetLinger(0)
		_ = below.Close()
		if _, err := io.ReadAll(j.client); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client got %v", err)
		}
	})
}

// piped is a connection without buffers: what is written waits until it is read.
type piped struct{ net.Conn }

func (p piped) CloseWrite() error   { return p.Close() }
func (piped) SetLinger(_ int) error { return nil }

// An end waits for the endpoint as data does, however slowly that reads; Close ends the wait.
func TestEndWaits(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	cert := ca.Issue(t, time.Now().Add(time.Hour), "mydb.test")
	for name, slow := range map[string]bool{"read in the end": true, "closed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
				shaken := make(chan error, 1)
				go func() { shaken <- server.HandshakeContext(t.Context()) }()
				conn := newConn(piped{ours}, &tls.Config{InsecureSkipVerify: true}) // what is verified is tested elsewhere
				if err := errors.Join(conn.HandshakeContext(t.Context()), <-shaken); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- conn.CloseWrite() }()
				bubble.Pass(time.Minute)
				select {
				case err := <-ended:
					t.Fatalf("ended with %v before the endpoint has read that", err)
				default:
				}
				if !slow {
					_ = conn.SetLinger(-1)
					_ = conn.Close()
					<-ended
					return
				}
				if _, err := server.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // net.Conn returns io.EOF itself
					t.Errorf("read %v", err)
				}
				if err := <-ended; err != nil {
					t.Error(err)
				}
				_ = conn.Close()
			})
		})
	}
}
