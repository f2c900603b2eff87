package takeover

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// A timeout is weak evidence: it moves calls to a proxy that answers, but leaves them where they go if there is none.
func TestAgentKeepsTheLastProxyThroughATimeout(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		once := func() func(context.Context) (*Report, error) {
			missed := false
			return func(ctx context.Context) (*Report, error) {
				if !missed {
					missed = true
					return hung(ctx)
				}
				return lively(ctx)
			}
		}
		b.fake.set("a", lively)
		b.source.set(twoProxies()) // b refuses
		bubble.Pass(10 * time.Second)
		b.fake.set("a", once())
		for range 100 {
			bubble.Pass(100 * time.Millisecond)
			if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(onNode)}) {
				t.Fatalf("calls go to %v after one missed probe of the only proxy", got)
			}
		}
		// Two proxies on a node that is short of CPU.
		b.fake.set("b", lively)
		bubble.Pass(10 * time.Second)
		b.fake.set("a", once())
		b.fake.set("b", once())
		for range 100 {
			bubble.Pass(100 * time.Millisecond)
			if len(b.tables.proxies()) == 0 {
				t.Fatal("calls go to no proxy after each has missed a probe")
			}
		}
		// Both hang for good.
		b.fake.set("a", hung)
		b.fake.set("b", hung)
		bubble.Pass(time.Second)
		if len(b.tables.proxies()) == 0 || !b.Status().Proxies[0].Suspect {
			t.Errorf("after a second calls go to %v, status = %+v", b.tables.proxies(), b.Status().Proxies)
		}
		bubble.Pass(farInterval + suspectLife + time.Second)
		if got := b.tables.proxies(); len(got) != 0 {
			t.Errorf("both have hung for seconds, but calls go to %v", got)
		}
		// The last local endpoint goes, so that kube-proxy would refuse every call.
		alone := twoProxies()
		alone.Services[0].Alone = true
		b.source.set(alone)
		for range 100 {
			bubble.Pass(time.Second)
			if len(b.tables.proxies()) == 0 {
				t.Fatal("calls are refused by kube-proxy because probes time out")
			}
		}
		b.source.set(twoProxies())
		// One comes back and refuses: that is evidence.
		b.fake.set("a", lively)
		bubble.Pass(2 * time.Second)
		if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(onNode)}) {
			t.Errorf("it is back, but calls go to %v", got)
		}
		b.fake.set("a", nil)
		bubble.Pass(probeInterval + minWriteGap)
		if got := b.tables.proxies(); len(got) != 0 {
			t.Errorf("it refuses, but calls go to %v", got)
		}
	})
}

// An agent that starts while the only proxy lets probes time out leaves its predecessor's entries alone.
func TestAgentStartsDuringATimeout(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", hung)
		b.source.set(twoProxies()) // b refuses
		bubble.Pass(suspectLife / 2)
		if _, n := b.tables.last(); n != 0 {
			t.Errorf("%d writes while the only proxy is suspect", n)
		}
		bubble.Pass(suspectLife)
		if w, n := b.tables.last(); n == 0 || len(w.services) != 0 {
			t.Errorf("%d writes, rules %v, although no proxy has answered for long", n, w.services)
		}
	})
}
