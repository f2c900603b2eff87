package drills

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
	d.today = "the first call through the broken zone fails"
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
