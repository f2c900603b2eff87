package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

// TestEachAddressOfANameIsDialed: a peer's name with two addresses leads to links with the replicas at both, so that calls go on when one
// is gone; and where it leads elsewhere later, the replica there gets one too.
func TestEachAddressOfANameIsDialed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := mem.NewNetwork()
		ca, cb := configs(t, withHandler(echo))
		ca.Transports = []transport.Transport{network.Transport("10.0.0.1")}
		var hosts atomic.Pointer[[]netip.Addr]
		leads := func(to ...byte) {
			var out []netip.Addr
			for _, last := range to {
				out = append(out, netip.AddrFrom4([4]byte{10, 0, 0, last}))
			}
			hosts.Store(&out)
		}
		ca.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "b.example" {
				return nil, errors.New("another name")
			}
			return *hosts.Load(), nil
		}
		leads(2, 3)
		for i := 2; i <= 4; i++ {
			host := fmt.Sprintf("10.0.0.%d", i)
			cb.Replica, cb.Listen = fmt.Sprintf("b%d", i), host+":443"
			cb.Transports = []transport.Transport{network.Transport(host)}
			startNode(t, cb).SetPeers([]Peer{{Name: "a"}})
		}
		a := startNode(t, ca)
		a.SetPeers([]Peer{{Name: "b", Addresses: []string{"b.example:443"}}})
		bubble.Pass(time.Second)
		if got := a.linkedReplicas("b"); !slices.Equal(got, []string{"b2", "b3"}) {
			t.Fatalf("linked with %v", got)
		}
		network.HoldBetween("10.0.0.1", "10.0.0.2", true)
		bubble.Pass(10 * time.Second)
		mustEcho(t, (&pair{a: a}).open(t))
		network.HoldBetween("10.0.0.1", "10.0.0.2", false)
		leads(3, 4)
		bubble.Pass(time.Minute)
		if got := a.linkedReplicas("b"); !slices.Contains(got, "b3") || !slices.Contains(got, "b4") {
			t.Errorf("the name leads to others: linked with %v", got)
		}
	})
}
