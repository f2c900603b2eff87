package originate

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/relay"
)

// patience is how long a test waits for what must happen; it times nothing.
const patience = time.Minute

var shop = discovery.ServiceName{Namespace: "shop", Name: "mydb"}

// apply makes Origins with one service.
func apply(t *testing.T, c Config, spec *discovery.TLS) *Origins {
	t.Helper()
	o := New(c)
	o.Apply(snapshot(spec))
	return o
}

func snapshot(spec *discovery.TLS) *discovery.Snapshot {
	svc := &discovery.Service{Name: shop, External: &discovery.External{Hosts: []string{"mydb.test"}, TLS: spec}}
	return &discovery.Snapshot{Services: hashtrie.Map[discovery.ServiceName, *discovery.Service]{}.With(shop, svc)}
}

// sockets are two ends of a connection over loopback.
func sockets(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if ours, err = net.DialTCP("tcp4", nil, ln.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if theirs, err = ln.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ours.Close()
		_ = theirs.Close()
	})
	for _, c := range []*net.TCPConn{ours, theirs} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return ours, theirs
}

// connect makes TLS with a server of that configuration. The server's side is there when its handshake has ended, nil if that failed.
func connect(ctx context.Context, t *testing.T, o *Origins, spec *discovery.TLS, host, alpn string, c *tls.Config) (relay.Conn, *tls.Conn, error) {
	t.Helper()
	ours, theirs := sockets(t)
	done := make(chan *tls.Conn, 1)
	go func() {
		s := tls.Server(theirs, c)
		if err := s.HandshakeContext(ctx); err != nil {
			_ = s.Close()
			s = nil
		}
		done <- s
	}()
	conn, err := o.Client(ctx, ours, To{TLS: spec, Address: netip.MustParseAddrPort(ours.RemoteAddr().String()), Host: host, ALPN: alpn})
	return conn, <-done, err
}
