package balance

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
)

// again is a service with a peer that tells so many ready endpoints.
func again(ready uint32) *discovery.Snapshot {
	s := benchService(1, outlier(1, time.Hour, 100), "a")
	s.Services.Get(echoName).Peers[0].Readiness[0].Ready = ready
	return s
}

// TestReadyAgainIsProbed: what an ejected peer refused with was not ready; when it says that something is, that is tried at once.
func TestReadyAgainIsProbed(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := Address{Peer: "a"}
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.table.Apply(again(0))
		b.want(k, Ejected)
		b.table.Apply(again(1))
		bubble.Pass(time.Millisecond)
		b.want(k, Ramping)
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.table.Apply(again(2)) // was ready all the time
		bubble.Pass(time.Minute)
		b.want(k, Ejected)
	})
}

// TestReadyTooEarly: a probe that was too early makes nothing worse, is soon made again, and however often a peer says that it
// is ready it is probed once in an interval.
func TestReadyTooEarly(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := Address{Peer: "a"}
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.probesGive(errors.New("refused"))
		for range 10 {
			b.table.Apply(again(0))
			b.table.Apply(again(1))
			bubble.Pass(time.Millisecond)
		}
		_, target, h := b.get(k)
		if b.probes != 1 || target.ejections != 1 || h.State != Ejected || h.Left > time.Second {
			t.Errorf("%d probes, %d ejections, %+v", b.probes, target.ejections, h)
		}
		b.probesGive(nil)
		bubble.Pass(3 * time.Second)
		b.want(k, Ramping)
	})
}

// TestReadyWhileProbed: the probe that is under way began too early.
func TestReadyWhileProbed(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := Address{Peer: "a"}
		b.fail(k, 1)
		g, target, _ := b.get(k)
		g.mu.Lock()
		target.state = Probing
		g.mu.Unlock()
		b.table.Apply(again(0))
		b.table.Apply(again(1))
		g.probed(target, false, false)
		if _, _, h := b.get(k); h.Left > time.Second {
			t.Errorf("%+v", h)
		}
	})
}

// TestTerminatingAreEjected where nothing else is left, all but one.
func TestTerminatingAreEjected(t *testing.T) {
	t.Parallel()
	s := benchService(3, outlier(1, time.Minute, 100))
	endpoints := s.Services.Get(echoName).Endpoints[servicePort]
	for i := range endpoints {
		endpoints[i].Ready, endpoints[i].Terminating = false, true
	}
	inBubble(t, s, func(b *bench) {
		for i := range endpoints {
			b.fail(localKey(i), 1)
		}
		b.want(localKey(0), Ejected)
		b.want(localKey(1), Ejected)
		b.want(localKey(2), OK)
	})
}

// TestSilentPeerDelaysNoOther: however many probes of a peer's services are waiting for an answer, own endpoints are probed in time.
func TestSilentPeerDelaysNoOther(t *testing.T) {
	t.Parallel()
	s := benchService(2, outlier(1, 30*time.Second, 100))
	for i := range 10 * maxProbes {
		one := benchService(1, outlier(1, 30*time.Second, 100), "silent").Services.Get(echoName)
		one.Name.Name = fmt.Sprint("service-", i)
		s.Services = s.Services.With(one.Name, one)
	}
	inBubble(t, s, func(b *bench) {
		b.probe = func(ctx context.Context, probed Candidate) error { // nothing is probed yet
			if probed.Peer != "" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		for name := range s.Services.All() {
			if name != echoName {
				g := b.table.group(Key{Service: name, Port: servicePort})
				g.failed(g.targets[Address{Peer: "silent"}], PeerFailure)
			}
		}
		bubble.Pass(20 * time.Second)
		b.fail(localKey(0), 1)
		bubble.Pass(32 * time.Second)
		b.want(localKey(0), Ramping)
	})
}

// TestEarlyEnds: a target that came back otherwise than by the early probe is probed as any other when it is ejected again.
func TestEarlyEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := Address{Peer: "a"}
		b.fail(k, 1)
		b.table.Apply(again(0))
		b.table.Apply(again(1)) // to be probed early, when the interval is over
		b.succeed(k)            // as last resort, before that
		b.probesGive(errors.New("refused"))
		b.fail(k, 1)
		bubble.Pass(time.Hour + 10*time.Second)
		if _, target, _ := b.get(k); target.ejections != 3 || b.probes != 1 {
			t.Errorf("%d ejections by two calls and %d probes, want 3 and 1", target.ejections, b.probes)
		}
	})
}
