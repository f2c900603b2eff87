package descriptors_test

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/descriptors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleGate() {
	g := descriptors.NewGate(256)
	fmt.Println(g.Admit(191))
	fmt.Println(g.Admit(192))
	// Output:
	// <nil>
	// too many open files: 192 of 256 are in use, and the rest is kept for the proxy itself
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for limit, want := range map[uint64]uint64{0: 0, 1: 0, 256: 64, 1024: 256, 40_960: 8192, 1 << 20: 8192, 1 << 63: 8192} {
		if got := descriptors.Reserve(limit); got != want {
			t.Errorf("%d of %d, want %d", got, limit, want)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	reserve := int(descriptors.Reserve(descriptors.Limit()))
	if got := descriptors.Share(reserve, 4); got != reserve/4 {
		t.Errorf("a quarter of %d: %d", reserve, got)
	}
	if got := descriptors.Share(1, 1); got != 1 {
		t.Errorf("at most 1: %d", got)
	}
	if got := descriptors.Share(10, reserve+1); got != 1 {
		t.Errorf("at least 1: %d", got)
	}
}

// A socket is refused by its descriptor, before it connects and after it was accepted.
func TestGateOfSockets(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for limit, admitted := range map[uint64]bool{0: true, 1 << 20: true, 1: false} {
		g := descriptors.NewGate(limit)
		d := net.Dialer{Control: g.Control}
		c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
		if admitted != (err == nil) || !admitted && !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("of %d: %v", limit, err)
		}
		if err != nil {
			continue
		}
		t.Cleanup(func() { c.Close() })
		for l, ok := range map[uint64]bool{limit: true, 1: false} {
			if err := descriptors.NewGate(l).AdmitConn(c); ok != (err == nil) || !ok && !errors.Is(err, syscall.EMFILE) {
				t.Errorf("an open one of %d: %v", l, err)
			}
		}
	}
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	if err := descriptors.NewGate(1).AdmitConn(pipe); err != nil {
		t.Errorf("no socket: %v", err)
	}
}
