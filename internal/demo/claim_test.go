package demo

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestClaim(t *testing.T) {
	first, claim, err := claimAddresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, other, err := claimAddresses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if second.base < first.base+baseStep {
		t.Errorf("two worlds at 127.%d and 127.%d", first.base, second.base)
	}
	if err := errors.Join(claim.Close(), other.Close()); err != nil {
		t.Error(err)
	}
	// One busy address is enough to go elsewhere, and what was held is given back.
	z := first.zones()[3]
	busy, err := net.Listen("tcp4", z.vip(roleProxy2, roleMockc).String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tryClaim(t.Context(), first); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	if err := busy.Close(); err != nil {
		t.Error(err)
	}
	claim, err = tryClaim(t.Context(), first)
	if err != nil {
		t.Fatalf("still held: %v", err)
	}
	if err := claim.Close(); err != nil {
		t.Error(err)
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	topo := newTopology(80)
	golden(t, "hints.golden", hints(topo, layout{root: "/tmp/eastway-demo-1"}, "eastway", 4711))
}
