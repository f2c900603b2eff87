package drills

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/apps/load"
)

// Of manifests/bookinfo.yaml.
const (
	pageURL = "http://productpage:9080/productpage"
	// pageRate of each zone, per second. Each page makes three calls.
	pageRate = 30
	// pages are called to see whose stars they have.
	pages = 10
	stars = "full stars"
	// starLines are the reviewers of a page.
	starLines = 2
)

// bookinfo is drill D2: reviews of cluster-1 (v1, without stars) are gone, and those of cluster-2 (v2, with stars) answer; a tenth of
// the calls goes there by weight; both at once.
func bookinfo(w *world, t *testing.T) {
	home := w.home()
	w.deployBookinfo(t)
	d := w.begin(t, "bookinfo", func(c, _ *cluster, _ string) load.Config {
		if c != home {
			return load.Config{}
		}
		return load.Config{Calls: []load.Calls{{URL: pageURL, Method: http.MethodGet, Rate: pageRate}}}
	})
	d.watched = "reviews"
	d.today = "balances and fails over between regions only with a private backbone that is paid for, and networks that do not overlap"
	own := func(r *record) bool { return r.ok() && r.by("reviews") == "v1" }
	crossed := func(r *record) bool { return r.ok() && r.by("reviews") == "v2" }
	called := func(good func(*record) bool) func([]record) bool {
		return lastTo(manyCalls, home.Zones, []string{pageURL}, good)
	}

	d.phase("healthy")
	d.await("reviews v1 answer", called(own))

	d.phase("reviews v1 gone")
	d.look(crossed)
	d.scale(home, 0, "reviews")
	d.await("reviews v2 answer", called(crossed))
	d.expectStars(pages * starLines)

	d.phase("back")
	d.look(own)
	d.scale(home, 1, "reviews")
	d.await("reviews v1 answer", called(own))
	d.expectStars(0)

	d.phase("10 % to the other region")
	tenth := v1alpha1.LoadBalancer{LocalityLbSetting: &v1alpha1.LocalityLbSetting{
		Distribute: []v1alpha1.LocalityDistribute{{From: home.Region, To: map[string]uint32{home.Region: 90, w.away().Region: 10}}},
	}}
	d.must(home.balance(d.Context(), "reviews", &tenth))
	d.expectShare(crossed, share{percent: 10, within: 3, sample: 1500}) // 3 are almost four standard deviations

	d.phase("10 %, and v1 gone")
	d.look(crossed)
	d.scale(home, 0, "reviews")
	d.await("reviews v2 answer 1,000 pages", lastTo(1000/len(home.Zones), home.Zones, []string{pageURL}, crossed))
	d.end()
}

// deployBookinfo into all clusters until the test ends.
func (w *world) deployBookinfo(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for i, c := range w.clusters {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
			defer cancel()
			out, err := c.Kubectl(ctx, "-n", namespace, "delete", "deployments,services,serviceexports,trafficpolicies",
				"productpage", "details", "reviews", "ratings", "--ignore-not-found").CombinedOutput()
			if err != nil {
				t.Errorf("delete bookinfo of %s: %v: %s", c.Name, err, out)
			}
		})
		values := map[string]any{
			"Image": mockImage, "Version": fmt.Sprintf("v%d", i+1), "Text": "", "Regions": []string{w.home().Region, w.away().Region},
			"Apps": map[string]string{
				"productpage": "http://details:9080/ http://reviews:9080/", "details": "", "ratings": "", "reviews": "",
			},
		}
		if c == w.away() {
			values["Text"] = strings.TrimSpace(strings.Repeat(stars+"\n", starLines))
			values["Apps"].(map[string]string)["reviews"] = "http://ratings:9080/"
		}
		if err := c.applyTemplate(ctx, "bookinfo.yaml", values); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range w.clusters {
		for _, zone := range c.Zones {
			if err := c.awaitAnswer(ctx, zone, pageURL); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// expectStars on so many lines of some pages that are called one by one.
func (d *drill) expectStars(want int) {
	d.Helper()
	lines := 0
	for range pages {
		page, err := d.home().call(d.Context(), d.home().Zones[0], pageURL)
		d.must(err)
		for line := range strings.Lines(page) {
			if strings.Contains(line, stars) {
				lines++
			}
		}
	}
	d.notes = append(d.notes, fmt.Sprintf("%s: %d pages have stars on %d of %d lines", d.phases[len(d.phases)-1].name, pages, lines, pages*starLines))
	if lines != want {
		d.Errorf("%d pages have stars on %d lines, want %d", pages, lines, want)
	}
}

// share of the home region's calls, in percent.
type share struct{ percent, within, sample int }

// expectShare of calls that crossed, from when some do and some do not: a policy may not have had its effect before.
func (d *drill) expectShare(crossed func(*record) bool, want share) {
	d.Helper()
	home, away := d.home(), d.away()
	d.await("calls of each zone go both ways", func(records []record) bool {
		ways := make(map[string]bool)
		for i := range records {
			ways[fmt.Sprint(records[i].zone, crossed(&records[i]))] = true
		}
		return len(ways) == 2*len(home.Zones)
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
		return total >= want.sample
	})
	d.notes = append(d.notes, fmt.Sprintf("%s: of %d calls from %s, %d were answered by %s (%.1f %%)", d.phases[len(d.phases)-1].name, total,
		home.Region, there, away.Region, 100*float64(there)/float64(total)))
	if 100*there < (want.percent-want.within)*total || 100*there > (want.percent+want.within)*total {
		d.Errorf("%s answered %d of %d calls, want %d ± %d %%", away.Region, there, total, want.percent, want.within)
	}
}

// balance sets the loadBalancer of a TrafficPolicy.
func (c *cluster) balance(ctx context.Context, policy string, lb *v1alpha1.LoadBalancer) error {
	var p v1alpha1.TrafficPolicy
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: policy}, &p); err != nil {
		return err
	}
	patch := client.MergeFrom(p.DeepCopy())
	p.Spec.LoadBalancer = lb
	return c.Patch(ctx, &p, patch)
}
