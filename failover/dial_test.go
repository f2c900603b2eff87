package failover

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/descriptors"
)

// TestDialGivenUp: a dial that is given up when its connection stands already resets it. The endpoint has accepted it by
// then, and a clean end would say that nothing was all there is.
func TestDialGivenUp(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := ln.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	network := newHost(descriptors.Gate{})
	prepare := network.dialer.Control
	network.dialer.Control = func(network, address string, raw syscall.RawConn) error {
		defer cancel() // on one machine the connection stands when connect has returned
		return prepare(network, address, raw)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	c := balance.Candidate{Address: balance.Address{Endpoint: at}, ConnectTimeout: patience}
	if err := dial.New(dial.Config{Network: network}).Probe(ctx, balance.Key{}, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("dial: %v", err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the endpoint reads %d bytes, %v", n, err)
	}
}

// TestDialForCheck: the endpoint sees a clean end, and what this process lacks is not the endpoint's failure.
func TestDialForCheck(t *testing.T) {
	t.Parallel()
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at, network := netip.MustParseAddrPort(ln.Addr().String()), newHost(descriptors.Gate{})
	dialer := dial.New(dial.Config{Network: network})
	checked, err := dialer.Local(t.Context(), originate.To{Address: at}, false)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := errors.Join(checked.Close(), conn.SetDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the endpoint reads %d bytes, %v", n, err)
	}
	network.dialer.Control = func(string, string, syscall.RawConn) error { return syscall.EMFILE }
	if _, err := dialer.Local(t.Context(), originate.To{Address: at}, false); !errors.Is(err, balance.ErrInconclusive) {
		t.Errorf("without descriptors: %v", err)
	}
	network.dialer.Control = func(string, string, syscall.RawConn) error { return syscall.ECONNREFUSED }
	if _, err := dialer.Local(t.Context(), originate.To{Address: at}, false); err == nil || errors.Is(err, balance.ErrInconclusive) {
		t.Errorf("refused: %v", err)
	}
}
