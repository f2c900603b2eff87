package failover

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/eastway/eastway/internal/descriptors"
)

// TestAcceptedEndsWithAReset: a connection that was accepted and not looked at, as when this process is killed, is reset when
// the kernel closes it. A clean end would read as an empty answer.
func TestAcceptedEndsWithAReset(t *testing.T) {
	t.Parallel()
	ln, err := newHost(descriptors.Gate{}).Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
}
