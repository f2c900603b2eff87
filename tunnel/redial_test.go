package tunnel

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TestRedialDoesNotWaitForHandlers: a handler that still clears away a lost stream does not keep the tunnel down.
func TestRedialDoesNotWaitForHandlers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := newPair(t, withTransport("tcp"), func(a, _ *Config) {
		a.Handle = func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			<-s.Done()
			<-release // e.g. an endpoint that reads slowly
		}
	})
	t.Cleanup(func() { close(release) })
	s, err := p.b.Open(t.Context(), "a", header(), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-s.Answered()
	if err := s.Outcome(); err != nil {
		t.Fatal(err)
	}
	old := onlyLink(t, p.a)
	old.end("lost in a test")
	p.awaitUsable(t)
}

// TestEachAddressOfAName: where the first address of a peer's name does not answer, QUIC dials the next one too.
func TestEachAddressOfAName(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t, withTransport("quic")) // b is at 127.0.0.1
	a, b := startNode(t, ca), startNode(t, cb)
	b.SetPeers([]Peer{{Name: "a"}})
	a.SetPeers([]Peer{{Name: "b"}})
	_, port, err := net.SplitHostPort(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientTLS(a, "b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	d := &linkDialer{n: a, peer: "b"}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}
	sess, err := d.dialEach(ctx, ips, port, cfg)
	if err != nil {
		t.Fatal(err)
	}
	sess.close("over")
	if _, err := d.dialEach(ctx, ips[:1], port, cfg); err == nil {
		t.Error("nobody is there")
	}
}
