package takeover

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/bubble"
)

// fakeProxies answers probes.
type fakeProxies struct {
	mu     sync.Mutex
	answer map[string]func(ctx context.Context) (*Report, error) // by pod; nil: refused
	probes map[string]int
}

func newFakeProxies() *fakeProxies {
	return &fakeProxies{answer: map[string]func(context.Context) (*Report, error){}, probes: map[string]int{}}
}

func (f *fakeProxies) set(pod string, answer func(context.Context) (*Report, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[pod] = answer
}

func (f *fakeProxies) count(pod string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.probes[pod]
}

func (f *fakeProxies) probe(ctx context.Context, p *Proxy, _ *Report) (*Report, error) {
	f.mu.Lock()
	answer := f.answer[p.Pod]
	f.probes[p.Pod]++
	f.mu.Unlock()
	if answer == nil {
		return nil, errors.New("refused")
	}
	return answer(ctx)
}

// lively is a proxy with a listener for default/shop.
func lively(context.Context) (*Report, error) {
	r := proxyReport(true, map[uint16]string{20000: "shop"})
	return &r, nil
}

// hung is a proxy that does not answer.
func hung(ctx context.Context) (*Report, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// paused is a probe during which the agent itself does not run.
func paused(ctx context.Context) (*Report, error) {
	<-ctx.Done()
	<-time.After(2 * pauseSlack) // the bubble's
	return nil, ctx.Err()
}

// probing runs a prober in a bubble.
func probing(t *testing.T, f func(p *prober, fake *fakeProxies, m *metrics)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake, m := newFakeProxies(), testMetrics(t)
		p := newProber(fake.probe, zap.NewNop(), m.probes)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = p.run(ctx)
		}()
		f(p, fake, m)
		cancel()
		<-done
	})
}

func near(pod, address string) target {
	return target{proxy: Proxy{Address: addr(address), Pod: pod, Health: 1}, interval: probeInterval}
}

func (p *prober) alive(address string) bool {
	return p.snapshot()[addr(address)].State == Alive
}

func TestProberFindsHungProxyWithinASecond(t *testing.T) {
	t.Parallel()
	probing(t, func(p *prober, fake *fakeProxies, _ *metrics) {
		fake.set("a", lively)
		p.set([]target{near("a", "10.0.0.1")})
		synctest.Wait()
		if !p.alive("10.0.0.1") {
			t.Fatal("a proxy that answers is not alive after its first probe")
		}
		<-p.turned
		bubble.Pass(time.Minute)
		if !p.alive("10.0.0.1") || len(p.turned) > 0 {
			t.Error("it changed although nothing happened")
		}
		fake.set("a", hung)
		began := time.Now()
		<-p.turned
		if took := time.Since(began); p.alive("10.0.0.1") || took > time.Second {
			t.Errorf("hung for %s: alive = %v", took, p.alive("10.0.0.1"))
		}
		if got := p.snapshot()[addr("10.0.0.1")].State; got != Suspect {
			t.Errorf("after the first timeout its state is %v, want Suspect", got)
		}
		began = time.Now()
		<-p.turned
		took, got := time.Since(began), p.snapshot()[addr("10.0.0.1")].State
		if got != Silent || took < suspectLife-probeTimeout || took > suspectLife+probeTimeout {
			t.Errorf("hung for %s more: state = %v, want Silent", took, got)
		}
		bubble.Pass(time.Minute)
		if len(p.turned) > 0 {
			t.Error("more of the same is a change")
		}
		fake.set("a", nil)
		<-p.turned
		if got := p.snapshot()[addr("10.0.0.1")].State; got != Dead {
			t.Errorf("it refuses: state = %v, want Dead", got)
		}
		// It comes back: one answer may be chance.
		fake.set("a", lively)
		began = time.Now()
		<-p.turned
		if took := time.Since(began); !p.alive("10.0.0.1") || took <= probeInterval || took > (risingProbes+1)*probeInterval {
			t.Errorf("back after %s, alive = %v", took, p.alive("10.0.0.1"))
		}
	})
}

func TestProberTellsOfListeners(t *testing.T) {
	t.Parallel()
	probing(t, func(p *prober, fake *fakeProxies, _ *metrics) {
		fake.set("a", lively)
		p.set([]target{near("a", "10.0.0.1")})
		<-p.turned
		for _, tell := range []struct {
			Report
			by chan struct{}
		}{
			{proxyReport(true, map[uint16]string{20000: "web", 20001: "shop"}), p.turned}, // unless it was shop's before
			{proxyReport(true, map[uint16]string{20000: "web"}), p.changed},
			{proxyReport(true, map[uint16]string{20000: "shop"}), p.turned},  // calls for web would come to shop
			{proxyReport(false, map[uint16]string{20000: "shop"}), p.turned}, // others are better by now
			{proxyReport(false, map[uint16]string{20000: "shop", 1: "x"}), p.changed},
			{proxyReport(false, map[uint16]string{1: "x"}), p.turned}, // it closes its ports
			{proxyReport(true, map[uint16]string{1: "x"}), p.turned},
			{proxyReport(true, nil), p.changed},
		} {
			r := tell.Report
			fake.set("a", func(context.Context) (*Report, error) { return &r, nil })
			bubble.Pass(2 * probeInterval)
			select {
			case <-tell.by:
			default:
				t.Errorf("%v was not reported, or as something else", r)
			}
			if got := p.snapshot()[addr("10.0.0.1")]; got.State != Alive || !got.Report.equal(&r) {
				t.Errorf("health = %+v, want %+v", got, r)
			}
		}
	})
}

// An agent that did not run takes no proxy for dead, unless that is all that ever happens.
func TestProberKnowsItsOwnPauses(t *testing.T) {
	t.Parallel()
	probing(t, func(p *prober, fake *fakeProxies, m *metrics) {
		fake.set("a", lively)
		p.set([]target{near("a", "10.0.0.1")})
		<-p.turned
		pauses := 0
		fake.set("a", func(ctx context.Context) (*Report, error) {
			if pauses++; pauses <= maxPauses {
				return paused(ctx)
			}
			return lively(ctx)
		})
		bubble.Pass(time.Minute)
		if !p.alive("10.0.0.1") || len(p.turned) > 0 {
			t.Error("a pause made the proxy dead")
		}
		if got := testutil.ToFloat64(m.probes.WithLabelValues(resultPaused)); got != maxPauses {
			t.Errorf("%v pauses counted, want %d", got, maxPauses)
		}
		fake.set("a", paused)
		<-p.turned
		bubble.Pass(time.Minute)
		if got := p.snapshot()[addr("10.0.0.1")].State; got != Suspect {
			t.Errorf("while the agent itself hardly runs a proxy is in state %v, want Suspect", got)
		}
	})
}

// An agent that gets CPU only in time to see that the time is over has not looked.
func TestProberJudgesItsOwnLateness(t *testing.T) {
	t.Parallel()
	probing(t, func(p *prober, fake *fakeProxies, m *metrics) {
		fake.set("a", lively)
		p.set([]target{near("a", "10.0.0.1")})
		<-p.turned
		starved := 0
		fake.set("a", func(ctx context.Context) (*Report, error) {
			if starved++; starved > maxPauses {
				return lively(ctx)
			}
			now := time.Now()
			p.lateness.look(now)
			<-ctx.Done()
			p.lateness.look(now.Add(lateInterval + lateSlack + 1)) // the look that was due then comes so late
			return nil, ctx.Err()
		})
		bubble.Pass(time.Minute)
		if got := testutil.ToFloat64(m.probes.WithLabelValues(resultPaused)); got != maxPauses || !p.alive("10.0.0.1") {
			t.Errorf("%v pauses counted, want %d; alive: %t", got, maxPauses, p.alive("10.0.0.1"))
		}
	})
}

func TestProberFollowsItsTargets(t *testing.T) {
	t.Parallel()
	probing(t, func(p *prober, fake *fakeProxies, _ *metrics) {
		for _, pod := range []string{"a", "b", "c"} {
			fake.set(pod, lively)
		}
		far := near("b", "10.0.0.2")
		far.interval = farInterval
		p.set([]target{near("a", "10.0.0.1"), far})
		if health := p.snapshot(); len(health) != 0 {
			t.Errorf("before any probe health is %v", health)
		}
		bubble.Pass(30 * time.Second)
		if health := p.snapshot(); len(health) != 2 {
			t.Errorf("health = %v", health)
		}
		if a, b := fake.count("a"), fake.count("b"); a < 90 || a > 110 || b < 9 || b > 11 {
			t.Errorf("in 30 s the near one was probed %d times, the far one %d times", a, b)
		}
		// The pod of an address is another one; one proxy is gone.
		p.set([]target{near("c", "10.0.0.1")})
		bubble.Pass(time.Second)
		before := fake.count("a") + fake.count("b")
		bubble.Pass(30 * time.Second)
		if after := fake.count("a") + fake.count("b"); after != before || fake.count("c") < 90 || p.alive("10.0.0.2") {
			t.Errorf("those that are gone were probed %d times, the new one %d times", after-before, fake.count("c"))
		}
	})
}
