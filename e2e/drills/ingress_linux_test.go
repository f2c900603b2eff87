package drills

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/internal/need"
)

// Of manifests/ingress.yaml.
const (
	nginxImage = "docker.io/eastway-test/nginx:e2e"
	// keptURL is called on connections that nginx keeps, freshURL on new ones.
	keptURL  = "http://ingress/"
	freshURL = "http://ingress/fresh/"
	// keepTime is short, for the drill's sake.
	keepTime = "5s"
)

const (
	// ingressRate of each URL and zone, per second.
	ingressRate = 15
	// ingressCalls in a row, of each URL and zone, show that it is so from now on: some seconds' load.
	ingressCalls = 40
	// reuse is how many calls there are at least for each connection that is kept.
	reuse = 2
)

// throughIngress: an ordinary nginx stands before a service that loses its
// endpoints in a zone, then in the region, and gets them back. Behind nginx
// no client notices, and neither does nginx, whether it keeps connections or not.
func throughIngress(s stage, t *testing.T) {
	deployIngress(s, t, "mocka")
	d := begin(s, t, "ingress", func(*site, *site, string) load.Config {
		return load.Config{Calls: []load.Calls{{URL: keptURL, Rate: ingressRate}, {URL: freshURL, Rate: ingressRate}}}
	})
	d.watched = "mocka"
	home, first := d.home(), d.home().Zones[0]
	mocka := []string{"mocka-" + home.Zones[0], "mocka-" + home.Zones[1]}
	d.repairAtEnd(home, mocka...)
	settled := func(zones []string, good func(*record) bool) func([]record) bool {
		return lastTo(ingressCalls, zones, []string{keptURL, freshURL}, good)
	}

	d.phase("healthy")
	d.await("every chain answers from the zone of its ingress", settled(d.zones(), (*record).home))

	d.phase("zone's mocka gone")
	elsewhere := func(r *record) bool { return r.ok() && r.zone == first && r.by("mocka") == home.Zones[1] }
	d.look(elsewhere)
	d.scale(home, 0, mocka[0])
	d.await("mocka of the other zone answers for "+first, settled(home.Zones[:1], elsewhere))

	d.phase("region's mocka gone")
	crossed := func(r *record) bool { return r.ok() && slices.Contains(d.away().Zones, r.by("mocka")) }
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && crossed(r) })
	d.scale(home, 0, mocka[1])
	d.await("mocka of the other region answers", settled(home.Zones, crossed))

	d.phase("back")
	d.look(func(r *record) bool { return strings.HasPrefix(r.zone, homeRegion) && r.home() })
	d.scale(home, 1, mocka...)
	d.await("every chain answers from the zone of its ingress", settled(d.zones(), (*record).home))
	d.countConnections()
	d.end()
}

// deployIngress before a service into all clusters until the test ends. Until then it must have logged nothing: it does so only when
// something is wrong.
func deployIngress(s stage, t *testing.T, service string) {
	t.Helper()
	nginx := need.Program(t, "nginx", "nginx")
	ctx := t.Context()
	if err := s.installNginx(ctx, nginx); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.sites() {
		removeAtEnd(s, t, c, "ingress")
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
			defer cancel()
			if out, err := s.complaints(ctx, c, "ingress"); err != nil || out != "" {
				t.Errorf("nginx of %s has something to complain about (%v):\n%s", c.Name, err, out)
			}
		})
		values := map[string]any{"Image": nginxImage, "Zones": c.Zones, "KeepTime": keepTime, "Service": service}
		if err := s.apply(ctx, c, "ingress.yaml", values); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range s.sites() {
		if err := awaitAnswers(ctx, s, c, keptURL, freshURL); err != nil {
			t.Fatal(err)
		}
	}
}

// countConnections on which mocka was called: nginx kept those that it was to keep.
func (d *drill) countConnections() {
	d.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	calls, connections := make(map[string]int), make(map[string]map[string]bool)
	for _, r := range d.rec.All() {
		for _, connection := range d.executed[r.ID]["mocka"] {
			if connections[r.Target] == nil {
				connections[r.Target] = make(map[string]bool)
			}
			calls[r.Target]++
			connections[r.Target][connection] = true
		}
	}
	for _, url := range []string{keptURL, freshURL} {
		d.notes = append(d.notes, fmt.Sprintf("%s: %d calls reached mocka on %d connections", url, calls[url], len(connections[url])))
	}
	if kept := len(connections[keptURL]); kept == 0 || calls[keptURL] < reuse*kept {
		d.Errorf("%d calls came on %d connections: nginx was to keep them", calls[keptURL], kept)
	}
}
