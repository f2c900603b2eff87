package drills

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/apps/load"
)

// So many calls in a row show that it is so from now on: some seconds of a
// zone's load.
const (
	someCalls = 20
	manyCalls = 150
)

// setMode of an application in one zone: "serve", or "nothing" or "fail" to break it.
// When it returns, the pods have been replaced.
func (d *drill) setMode(c *cluster, mode string, names ...string) {
	d.Helper()
	ctx := d.Context()
	for _, name := range names {
		var one appsv1.Deployment
		d.must(c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &one))
		patch := client.MergeFrom(one.DeepCopy())
		one.Spec.Template.Spec.Containers[0].Args = []string{mode}
		d.must(c.Patch(ctx, &one, patch))
	}
	d.must(c.awaitDeployments(ctx))
	if mode == "serve" {
		d.follow()
	}
}

// serviceFails is drill D1: one mockb, then all of a region, do not listen.
func serviceFails(w *world, t *testing.T) { w.breakService(t, "service failure", "nothing", usual) }

// serviceAnswers503 is drill D1 with applications that listen, and fail. A POST that was answered 503 is not sent again, so the load is
// of GETs.
func serviceAnswers503(w *world, t *testing.T) {
	w.breakService(t, "service answers 503", "fail", gets)
}

// gets is the load of calls alone that may be repeated.
func gets(_, _ *cluster, _ string) load.Config {
	return load.Config{Calls: []load.Calls{{URL: chainURL, Method: http.MethodGet, Rate: callRate / zones}}}
}

func (w *world) breakService(t *testing.T, name, mode string, p plan) {
	t.Helper()
	d := w.begin(t, name, p)
	home := w.home()
	broken := func(zone string) string { return "mockb-" + zone }
	t.Cleanup(func() { // also when the drill did not get that far
		for _, zone := range home.Zones {
			w.repair(context.WithoutCancel(t.Context()), t, home, broken(zone))
		}
	})

	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))

	d.phase("one mockb broken")
	first := home.Zones[0]
	elsewhere := func(r *record) bool { return r.ok() && r.by("mockb") != first && r.by("mocka") == first }
	d.look(func(r *record) bool { return r.zone == first && elsewhere(r) })
	d.setMode(home, mode, broken(first))
	d.await("mockb of the other zone answers for "+first, lastOf(manyCalls, home.Zones[:1], elsewhere))

	d.phase("region's mockb broken")
	crossed := func(r *record) bool { return r.ok() && slices.Contains(w.away().Zones, r.by("mockb")) }
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && crossed(r) })
	d.setMode(home, mode, broken(home.Zones[1]))
	d.await("mockb of the other region answers", lastOf(manyCalls, home.Zones, crossed))

	d.phase("repaired")
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && r.home() })
	d.setMode(home, "serve", broken(home.Zones[0]), broken(home.Zones[1]))
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	if mode == "nothing" {
		d.awaitStreams()
	}
	d.end()
}

// weights is drill D2: a tenth of a region's calls goes to the other region, and all of them when the own region has no pod. Before that,
// as in drill D5, all clusters share the calls alike.
func weights(w *world, t *testing.T) {
	d := w.begin(t, "weights", gets)
	home, away := w.home(), w.away()
	mockb := []string{"mockb-" + home.Zones[0], "mockb-" + home.Zones[1]}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, name := range mockb {
			w.repair(ctx, t, home, name)
		}
		if err := home.balance(ctx, nil); err != nil {
			t.Error(err)
		}
	})
	crossed := func(r *record) bool { return r.ok() && slices.Contains(away.Zones, r.by("mockb")) }

	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))

	d.phase("alike in all clusters")
	alike := v1alpha1.LoadBalancer{Simple: v1alpha1.RoundRobin, LocalityLbSetting: &v1alpha1.LocalityLbSetting{Enabled: new(false)}}
	d.expectShare(&alike, 50, 5, 500)
	d.must(home.balance(d.Context(), nil))
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("10 % to the other region")
	tenth := v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{Distribute: []v1alpha1.LocalityDistribute{
		{From: home.Region, To: map[string]uint32{home.Region: 90, away.Region: 10}},
	}}}
	d.expectShare(&tenth, 10, 4, 1000) // chance alone is not out of it: four standard deviations

	d.phase("own region's mockb gone")
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && crossed(r) })
	d.scale(home, 0, mockb...)
	d.await("the other region answers all", lastOf(manyCalls, home.Zones, crossed))

	d.phase("repaired")
	d.scale(home, 1, mockb...)
	d.must(home.balance(d.Context(), nil))
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	d.end()
}

// expectShare of the home region's calls to be answered by the other one, in percent, from when a policy is seen to have an effect: none
// crossed before.
func (d *drill) expectShare(lb *v1alpha1.LoadBalancer, share, within, sample int) {
	d.Helper()
	home, away := d.home(), d.away()
	crossed := func(r *record) bool { return r.ok() && slices.Contains(away.Zones, r.by("mockb")) }
	d.must(home.balance(d.Context(), lb))
	d.await("calls of each zone cross", func(records []record) bool {
		return !slices.ContainsFunc(home.Zones, func(zone string) bool {
			return !slices.ContainsFunc(records, func(r record) bool { return r.zone == zone && crossed(&r) })
		})
	})
	total, there := 0, 0
	d.await("enough calls from the region", func(records []record) bool {
		total, there = 0, 0
		for i := range records {
			if r := &records[i]; r.call() && strings.HasPrefix(r.zone, homeRegion) {
				if total++; crossed(r) {
					there++
				}
			}
		}
		return total >= sample
	})
	d.notes = append(d.notes, fmt.Sprintf("%s: of %d calls from %s, %d were answered by %s (%.1f %%)", d.phases[len(d.phases)-1].name, total,
		home.Region, there, away.Region, 100*float64(there)/float64(total)))
	if 100*there < (share-within)*total || 100*there > (share+within)*total {
		d.Errorf("%s answered %d of %d calls, want %d ± %d %%", away.Region, there, total, share, within)
	}
}

// balance sets the loadBalancer of the TrafficPolicy for mockb.
func (c *cluster) balance(ctx context.Context, lb *v1alpha1.LoadBalancer) error {
	var p v1alpha1.TrafficPolicy
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "mockb"}, &p); err != nil {
		return err
	}
	patch := client.MergeFrom(p.DeepCopy())
	p.Spec.LoadBalancer = lb
	return c.Patch(ctx, &p, patch)
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

// repair an application, at the end of a test that may have failed.
func (w *world) repair(ctx context.Context, t *testing.T, c *cluster, name string) {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	var one appsv1.Deployment
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &one)
	if err == nil {
		patch := client.MergeFrom(one.DeepCopy())
		one.Spec.Template.Spec.Containers[0].Args, one.Spec.Replicas = []string{"serve"}, new(int32(1))
		err = c.Patch(ctx, &one, patch)
	}
	if err != nil {
		t.Errorf("repair %s: %v", name, err)
	}
}
