package takeover

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// While services change all the time, and there are many, an agent takes a small part of its node; a proxy that is lost is
// another matter.
func TestAgentRests(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		const round = 200 * time.Millisecond
		b.fake.set("a", lively)
		b.fake.set("b", lively)
		b.source.set(twoProxies())
		bubble.Pass(time.Second)
		b.tables.slow(round)
		change := func(n int) {
			inv := twoProxies()
			inv.Services[0].Ports = []Port{{"TCP", uint16(n + 1), 20000}}
			b.source.set(inv)
			bubble.Pass(50 * time.Millisecond)
		}
		_, before := b.tables.last()
		for n := range 1200 {
			change(n)
		}
		_, after := b.tables.last()
		if most := int(time.Minute / (round * workShare)); after-before > most || after-before < most/2 {
			t.Errorf("%d rounds in a minute of changes, at most %d are expected", after-before, most)
		}
		b.fake.set("a", hung)
		began := time.Now()
		for n := 0; !slices.Equal(b.tables.proxies(), []netip.Addr{addr(farAway)}); n++ {
			if change(n); time.Since(began) > time.Minute {
				t.Fatal("calls still go to a proxy that hangs")
			}
		}
		if took := time.Since(began); took > probeInterval+probeTimeout+2*round+minWriteGap {
			t.Errorf("calls go elsewhere after %v", took)
		}
		// What changes last, while it rests, is written when it has rested.
		change(1)
		change(2)
		began = time.Now()
		bubble.Pass(workShare*round + 2*round)
		if w, _ := b.tables.last(); w.services[0].Address.Port() != 3 {
			t.Errorf("%v was written last, and the port has been 3 for %v", w.services[0].Address, time.Since(began))
		}
		b.tables.slow(0)
	})
}

// A proxy that comes and goes does not delay other changes.
func TestAgentHearsBesidesAFlappingProxy(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("b", lively)
		flap := func(n int) {
			b.fake.set("a", nil)
			if n%2 == 0 {
				b.fake.set("a", lively)
			}
			bubble.Pass(1200 * time.Millisecond)
		}
		b.source.set(twoProxies())
		flap(0)
		b.tables.slow(300 * time.Millisecond)
		for n := range 10 {
			flap(n)
		}
		inv := twoProxies()
		inv.Services = nil
		b.source.set(inv)
		began := time.Now()
		for n := 0; len(b.tables.proxies()) > 0; n++ {
			if flap(n); time.Since(began) > 2*maxRest {
				t.Fatal("the rules of a Service that is gone are still written")
			}
		}
		b.tables.slow(0)
	})
}

// A proxy that is the only one, goes away, and has closed its port is left at once, however much the agent has to do.
func TestAgentLeavesClosedPorts(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		const round = 400 * time.Millisecond
		tell := func(ready bool, listeners map[uint16]string) {
			r := proxyReport(ready, listeners)
			b.fake.set("a", func(context.Context) (*Report, error) { return &r, nil })
		}
		tell(true, map[uint16]string{20000: "shop"})
		b.source.set(twoProxies())
		bubble.Pass(2 * time.Second)
		b.tables.slow(round)
		tell(false, map[uint16]string{20000: "shop"})
		bubble.Pass(2 * time.Second)
		if !slices.Equal(b.tables.proxies(), []netip.Addr{addr(onNode)}) {
			t.Fatalf("calls go to %v instead of the only proxy that there is", b.tables.proxies())
		}
		inv := twoProxies()
		inv.Services[0].Ports = []Port{{"TCP", 81, 20000}}
		b.source.set(inv)
		bubble.Pass(2 * round)
		tell(false, nil)
		bubble.Pass(probeInterval + 2*round + minWriteGap)
		if got := b.tables.proxies(); len(got) > 0 {
			t.Errorf("calls still go to %v", got)
		}
		b.tables.slow(0)
	})
}
