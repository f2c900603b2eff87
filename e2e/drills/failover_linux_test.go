package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/status"
)

// So many calls in a row show that it is so from now on: some seconds of a
// zone's load.
const (
	someCalls = 20
	manyCalls = 150
)

// setMode of an application in one zone: "serve", or "nothing" or "fail" to break it.
// When it returns, the pods have been replaced.
func (d *drill) setMode(c *site, mode string, names ...string) {
	d.Helper()
	d.changeAll(c, func(w *appsv1.DeploymentSpec) { w.Template.Spec.Containers[0].Args = []string{mode} }, names...)
	if mode == "serve" {
		d.follow()
	}
}

// scale applications. When it returns, pods have come or are gone.
func (d *drill) scale(c *site, replicas int32, names ...string) {
	d.Helper()
	d.changeAll(c, func(w *appsv1.DeploymentSpec) { w.Replicas = &replicas }, names...)
	d.follow()
}

func (d *drill) changeAll(c *site, how func(*appsv1.DeploymentSpec), names ...string) {
	d.Helper()
	for _, name := range names {
		d.must(d.change(d.Context(), c, name, how))
	}
	d.must(d.rolledOut(d.Context(), c))
}

// serviceFails is drill D1: one mockb, then all of a region, do not listen.
func serviceFails(s stage, t *testing.T) { breakService(s, t, "service failure", "nothing", usual) }

// serviceAnswers503 is drill D1 with applications that listen, and fail. A POST that was answered 503 is not sent again, so the load is
// of GETs.
func serviceAnswers503(s stage, t *testing.T) {
	breakService(s, t, "service answers 503", "fail", gets)
}

// gets is the load of calls alone that may be repeated.
func gets(_, _ *site, _ string) load.Config {
	return load.Config{Calls: []load.Calls{{URL: chainURL, Method: http.MethodGet, Rate: callRate / zones}}}
}

func breakService(s stage, t *testing.T, name, mode string, p plan) {
	t.Helper()
	d := begin(s, t, name, p)
	d.today = "the first call through the broken zone fails"
	home := d.home()
	broken := func(zone string) string { return "mockb-" + zone }
	d.repairAtEnd(home, broken(home.Zones[0]), broken(home.Zones[1]))

	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))

	d.phase("one mockb broken")
	first := home.Zones[0]
	elsewhere := func(r *record) bool { return r.ok() && r.by("mockb") != first && r.by("mocka") == first }
	d.look(func(r *record) bool { return r.zone == first && elsewhere(r) })
	d.setMode(home, mode, broken(first))
	d.await("mockb of the other zone answers for "+first, lastOf(manyCalls, home.Zones[:1], elsewhere))

	d.phase("region's mockb broken")
	crossed := func(r *record) bool { return r.ok() && slices.Contains(d.away().Zones, r.by("mockb")) }
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && crossed(r) })
	d.setMode(home, mode, broken(home.Zones[1]))
	d.await("mockb of the other region answers", lastOf(manyCalls, home.Zones, crossed))

	d.phase("repaired")
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && r.home() })
	d.setMode(home, "serve", broken(home.Zones[0]), broken(home.Zones[1]))
	note, err := d.endEjections(d.Context(), home, "mockb")
	d.must(err)
	if note != "" {
		d.notes = append(d.notes, note)
	}
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	if mode == "nothing" {
		d.awaitStreams()
	}
	d.end()
}

// endEjections of applications that work again. In file mode they are where they were, so that their ejections go on, for what is left of
// the policy's five minutes; on Kubernetes a pod without a readiness probe may have refused a call before it listened. A health check
// that passes ends them.
func (d *drill) endEjections(ctx context.Context, s *site, service string) (note string, err error) {
	longest, err := d.ejected(ctx, s, service)
	if err != nil || longest == 0 {
		return "", err
	}
	err = d.setPolicy(ctx, s, service, func(p *v1alpha1.TrafficPolicySpec) {
		p.HealthCheck = &v1alpha1.HealthCheck{
			HTTP: &v1alpha1.HTTPHealthCheck{Path: "/"}, Port: new(uint32(chain.Port)), Interval: &metav1.Duration{Duration: time.Second},
		}
	})
	if err != nil {
		return "", err
	}
	began := time.Now()
	err = lab.Await(ctx, "the ejections to end", patience, func(ctx context.Context) error {
		if left, err := d.ejected(ctx, s, service); err != nil || left > 0 {
			return errors.Join(err, fmt.Errorf("an endpoint is ejected for %v", left))
		}
		return nil
	})
	note = fmt.Sprintf("repaired: %s of the ejection were left; a passed health check ended it %s after the policy got one",
		longest.Round(time.Second), time.Since(began).Round(time.Millisecond))
	return note, errors.Join(err, d.setPolicy(ctx, s, service, func(p *v1alpha1.TrafficPolicySpec) { p.HealthCheck = nil }))
}

// ejected is the longest time for which a proxy of the cluster goes on to eject an endpoint of the service there.
func (d *drill) ejected(ctx context.Context, s *site, service string) (longest time.Duration, err error) {
	all, err := d.endpoints(ctx, s, service)
	for i := range all {
		for j := range all[i].Endpoints {
			if e := &all[i].Endpoints[j]; e.Cluster == s.Name && e.OutlierCheck == status.CheckFailed {
				longest = max(longest, e.EjectedFor)
			}
		}
	}
	return longest, err
}

// awaitStreams returns when each of the load's streams has lasted its full time once.
func (d *drill) awaitStreams() {
	d.Helper()
	d.awaitFrom(d.phases[0].begun.Add(-patience), "the streams have come to their ends", func(records []record) bool {
		n := 0
		for i := range records {
			if !records[i].call() {
				n++
			}
		}
		return n >= streamCount
	})
}

// repairAtEnd repairs applications when the test ends, also when it did not get that far.
func (d *drill) repairAtEnd(c *site, names ...string) {
	d.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(d.Context()), endPatience)
		defer cancel()
		for _, name := range names {
			err := d.change(ctx, c, name, func(w *appsv1.DeploymentSpec) {
				w.Template.Spec.Containers[0].Args, w.Replicas = []string{"serve"}, new(int32(1))
			})
			if err != nil {
				d.Errorf("repair %s: %v", name, err)
			}
		}
		if err := d.rolledOut(ctx, c); err != nil {
			d.Errorf("repair %v: %v", names, err)
		}
	})
}
