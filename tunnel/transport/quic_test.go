package transport

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestEachAddressOfAName: where the first address of a peer's name does not answer, the next one is dialed.
func TestEachAddressOfAName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ln := w.listen(t, NewQUIC()) // at 127.0.0.1
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	tr := NewQUIC()
	defer tr.Close()
	to := Target{Peer: "b", Address: ln.Addr().String(), TLS: w.clientTLS(t)}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}
	sess, err := tr.dialEach(ctx, to, ips, port)
	if err != nil {
		t.Fatal(err)
	}
	sess.Close("over")
	if _, err := tr.dialEach(ctx, to, ips[:1], port); err == nil {
		t.Error("something answered where there is nothing")
	}
}
