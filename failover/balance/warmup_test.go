package balance

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
)

func TestWarmupShare(t *testing.T) {
	t.Parallel()
	minute := metav1.Duration{Duration: time.Minute}
	for name, tt := range map[string]struct {
		set  v1alpha1.LoadBalancer
		want map[time.Duration]float64 // by time since it was ready
	}{
		"none": {v1alpha1.LoadBalancer{}, map[time.Duration]float64{0: 1, time.Second: 1}},
		"linear": {v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{Duration: minute}}, map[time.Duration]float64{
			-1: 0.1, 0: 0.1, 30 * time.Second: 0.5, time.Minute: 1, time.Hour: 1,
		}},
		"deprecated": {v1alpha1.LoadBalancer{WarmupDurationSecs: &minute}, map[time.Duration]float64{0: 0.1, 30 * time.Second: 0.5, time.Minute: 1}},
		"from nothing": {v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{
			Duration: minute, MinimumPercent: new(int32(0)),
		}}, map[time.Duration]float64{0: 0, 6 * time.Second: 0.1}},
		"aggressive": {v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{
			Duration: minute, MinimumPercent: new(int32(30)), Aggression: new(2.0),
		}}, map[time.Duration]float64{0: 0.3, 15 * time.Second: 0.5, time.Minute: 1}},
	} {
		w := warmupOf(&tt.set)
		for after, want := range tt.want {
			if got := w.share(after); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: after %v the share is %v, want %v", name, after, got, want)
			}
		}
	}
}

func TestWarmup(t *testing.T) {
	t.Parallel()
	p := outlier(1, time.Minute, 100)
	p.LoadBalancer = &v1alpha1.LoadBalancer{Warmup: &v1alpha1.Warmup{Duration: metav1.Duration{Duration: 30 * time.Second}}}
	share := func(b *bench, a Address) float64 {
		_, _, h := b.get(a)
		return h.share
	}
	inBubble(t, benchService(1, p), func(b *bench) {
		rnd := rand.New(rand.NewPCG(1, 2))
		b.table.random, b.table.cfg.Peers = random{intN: rnd.IntN, float64: rnd.Float64}, linked{}
		if got := share(b, localKey(0)); got != 1 {
			t.Errorf("what was there first has share %v", got)
		}
		bubble.Pass(time.Minute)
		b.table.Apply(benchService(2, p, "a"))
		if old, fresh, peer := share(b, localKey(0)), share(b, localKey(1)), share(b, Address{Peer: "a"}); old != 1 || fresh != 0.1 || peer != 1 {
			t.Errorf("shares are %v, of the new endpoint %v, of the new peer %v", old, fresh, peer)
		}
		first := 0
		for range 1000 {
			if b.table.Candidates(b.key, Caller{Cluster: "here", Locality: here})[0].Address == localKey(1) {
				first++
			}
		}
		if first < 20 || first > 90 { // a tenth of a half
			t.Errorf("the new endpoint is first for %d of 1000 calls", first)
		}
		bubble.Pass(15 * time.Second)
		if got := share(b, localKey(1)); got != 0.5 {
			t.Errorf("half warm it has share %v", got)
		}
		b.table.Apply(benchService(2, p)) // nothing has become ready
		if got := share(b, localKey(1)); got != 0.5 {
			t.Errorf("after a change it has share %v", got)
		}
		b.fail(localKey(1), 1)
		b.succeed(localKey(1)) // as last resort
		if got := share(b, localKey(1)); got != rampStart {
			t.Errorf("back from an ejection it has share %v", got)
		}
		bubble.Pass(15 * time.Second)
		if got := share(b, localKey(1)); got != 1 {
			t.Errorf("warm it has share %v", got)
		}
		s := benchService(2, p)
		s.Services.Get(echoName).Endpoints[servicePort][1].Ready = false
		b.table.Apply(s)
		b.table.Apply(benchService(2, p))
		if got := share(b, localKey(1)); got != 0.1 {
			t.Errorf("ready again it has share %v", got)
		}
	})
}
