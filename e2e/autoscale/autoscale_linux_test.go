package autoscale

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Bounds of the number of proxies.
const (
	fewest = 2
	most   = 4
)

// theirPart of the load, calls of each new proxy: some seconds' worth.
const theirPart = 300

// values of the chart. The requests are small, so that the load may be: of two
// cores, a cluster already needs its share.
func values() []string {
	const scaleDown = "proxy.autoscaling.behavior.scaleDown."
	return []string{
		"proxy.autoscaling.enabled=true",
		fmt.Sprintf("proxy.autoscaling.minReplicas=%d", fewest),
		fmt.Sprintf("proxy.autoscaling.maxReplicas=%d", most),
		"proxy.autoscaling.targetCPUUtilizationPercentage=60",
		"proxy.resources.requests.cpu=100m",
		// This does not wait five minutes, and then one more for each proxy.
		scaleDown + "stabilizationWindowSeconds=10",
		scaleDown + "policies[0].type=Pods",
		scaleDown + "policies[0].value=2",
		scaleDown + "policies[0].periodSeconds=15",
		"proxy.drain.delaySeconds=5", // there is no cloud's load balancer that has to notice
	}
}

// Under load there are more proxies, which take their part of it; after it they
// drain and go. A little load goes on all the time, and nothing fails.
func TestAutoscale(t *testing.T) {
	w := newWorld(t, values()...)
	ctx := t.Context()
	w.must(w.begin(ctx, steady))
	first := w.awaitFewest(ctx)
	w.must(lab.Await(ctx, "each proxy to carry calls", patience, func(ctx context.Context) error { return w.carried(ctx, 1, first) }))

	loaded := time.Now()
	w.must(w.begin(ctx, burst))
	w.mark("the load begins")
	w.must(lab.Await(ctx, "more proxies to carry calls", patience, func(ctx context.Context) error { return w.grown(ctx, first) }))
	burstRecords, err := w.end(ctx, burst)
	w.must(err)
	w.mark("the load has ended")
	relieved := time.Now()
	w.awaitFewest(ctx)
	w.mark("there are as few proxies as before")
	left := time.Now()

	steadyRecords, err := w.end(ctx, steady)
	w.must(err)
	const seconds = 5 // of the load at least: a load that did not come about proves nothing
	w.judge("much load, scaling out", burstRecords, loaded, relieved, seconds*int(loads()[burst].Calls[0].Rate))
	w.judge("little load, scaling in", steadyRecords, relieved, left, seconds*int(loads()[steady].Calls[0].Rate))
	w.judge("little load, all the time", steadyRecords, w.began, time.Now(), seconds)
}

// grown says what is missing until there are more proxies than the first, and
// each of them carries its part.
func (w *world) grown(ctx context.Context, first []corev1.Pod) error {
	if _, err := w.autoscaler(ctx); err != nil {
		return err
	}
	proxies, err := w.proxies(ctx)
	if err != nil {
		return err
	}
	added := slices.DeleteFunc(proxies, func(p corev1.Pod) bool {
		return slices.ContainsFunc(first, func(f corev1.Pod) bool { return f.Name == p.Name })
	})
	if len(added) == 0 {
		return fmt.Errorf("there are the first %d only", len(first))
	}
	w.mark("scaled out")
	if err := allReady(added, nil); err != nil {
		return err
	}
	w.mark("the new proxies are ready")
	if err := w.carried(ctx, 1, added); err != nil {
		return err
	}
	w.mark("each of them has carried a call")
	return w.carried(ctx, theirPart, added)
}

// awaitFewest returns the proxies when there are as few as can be, none
// leaves, and the autoscaler knows what they use.
func (w *world) awaitFewest(ctx context.Context) (proxies []corev1.Pod) {
	w.Helper()
	w.must(lab.Await(ctx, "as few proxies as can be", patience, func(ctx context.Context) error {
		a, err := w.autoscaler(ctx)
		if err != nil {
			return err
		}
		if usage(a) == unknown {
			return fmt.Errorf("the autoscaler has no metrics: %+v", a.Status.Conditions)
		}
		if proxies, err = w.proxies(ctx); err == nil && len(proxies) != fewest {
			return fmt.Errorf("there are %d", len(proxies))
		}
		return allReady(proxies, err)
	}))
	return proxies
}
