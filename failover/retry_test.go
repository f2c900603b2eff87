package failover

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
		k := targetKey{peer: "a"}
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.table.apply(again(0))
		b.want(k, stateEjected)
		b.table.apply(again(1))
		bubble.Pass(time.Millisecond)
		b.want(k, stateRamping)
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.table.apply(again(2)) // was ready all the time
		bubble.Pass(time.Minute)
		b.want(k, stateEjected)
	})
}

// TestReadyTooEarly: a probe that was too early makes nothing worse, is soon made again, and however often a peer says that it
// is ready it is probed once in an interval.
func TestReadyTooEarly(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := targetKey{peer: "a"}
		b.fail(k, 1)
		bubble.Pass(time.Minute)
		b.probesGive(errors.New("refused"))
		for range 10 {
			b.table.apply(again(0))
			b.table.apply(again(1))
			bubble.Pass(time.Millisecond)
		}
		_, target, h := b.get(k)
		if b.probes != 1 || target.ejections != 1 || h.state != stateEjected || h.left > time.Second {
			t.Errorf("%d probes, %d ejections, %+v", b.probes, target.ejections, h)
		}
		b.probesGive(nil)
		bubble.Pass(3 * time.Second)
		b.want(k, stateRamping)
	})
}

// TestReadyWhileProbed: the probe that is under way began too early.
func TestReadyWhileProbed(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := targetKey{peer: "a"}
		b.fail(k, 1)
		g, target, _ := b.get(k)
		g.mu.Lock()
		target.state = stateProbing
		g.mu.Unlock()
		b.table.apply(again(0))
		b.table.apply(again(1))
		g.probed(target, false, false)
		if _, _, h := b.get(k); h.left > time.Second {
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
		b.want(localKey(0), stateEjected)
		b.want(localKey(1), stateEjected)
		b.want(localKey(2), stateOK)
	})
}

// TestSilentPeerHoldsUpNobody: however many probes of a peer's services are waiting for an answer, own endpoints are probed in time.
func TestSilentPeerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := benchService(2, outlier(1, 30*time.Second, 100))
	for i := range 10 * maxProbes {
		one := benchService(1, outlier(1, 30*time.Second, 100), "silent").Services.Get(echoName)
		one.Name.Name = fmt.Sprint("service-", i)
		s.Services = s.Services.With(one.Name, one)
	}
	inBubble(t, s, func(b *bench) {
		b.table.probe = func(ctx context.Context, probed *target) error { // nothing is probed yet
			if probed.key.peer != "" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		for name := range s.Services.All() {
			if name != echoName {
				g := b.table.group(portKey{service: name, port: servicePort})
				g.failed(g.targets[targetKey{peer: "silent"}], kindPeer)
			}
		}
		bubble.Pass(20 * time.Second)
		b.fail(localKey(0), 1)
		bubble.Pass(32 * time.Second)
		b.want(localKey(0), stateRamping)
	})
}

// TestEarlyEnds: a target that came back otherwise than by the early probe is probed as any other when it is ejected again.
func TestEarlyEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, again(1), func(b *bench) {
		k := targetKey{peer: "a"}
		b.fail(k, 1)
		b.table.apply(again(0))
		b.table.apply(again(1)) // to be probed early, when the interval is over
		b.succeed(k)            // as last resort, before that
		b.probesGive(errors.New("refused"))
		b.fail(k, 1)
		bubble.Pass(time.Hour + 10*time.Second)
		if _, target, _ := b.get(k); target.ejections != 3 || b.probes != 1 {
			t.Errorf("%d ejections by two calls and %d probes, want 3 and 1", target.ejections, b.probes)
		}
	})
}
