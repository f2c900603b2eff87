package drills

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

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
func bookinfo(s stage, t *testing.T) {
	home, away := s.sites()[0], s.sites()[1]
	deployBookinfo(s, t)
	d := begin(s, t, "bookinfo", func(c, _ *site, _ string) load.Config {
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
		Distribute: []v1alpha1.LocalityDistribute{{From: home.Region, To: map[string]uint32{home.Region: 90, away.Region: 10}}},
	}}
	d.must(d.setPolicy(d.Context(), home, "reviews", func(p *v1alpha1.TrafficPolicySpec) { p.LoadBalancer = &tenth }))
	d.expectShare(crossed, share{percent: 10, within: 3, sample: 1500}) // 3 are almost four standard deviations

	d.phase("10 %, and v1 gone")
	d.look(crossed)
	d.scale(home, 0, "reviews")
	d.await("reviews v2 answer 1,000 pages", lastTo(1000/len(home.Zones), home.Zones, []string{pageURL}, crossed))
	d.end()
}

// deployBookinfo into all clusters until the test ends.
func deployBookinfo(s stage, t *testing.T) {
	t.Helper()
	ctx := t.Context()
	both := s.sites()
	for i, c := range both {
		removeAtEnd(s, t, c, "productpage", "details", "reviews", "ratings")
		apps := map[string]string{"productpage": "http://details:9080/ http://reviews:9080/", "details": "", "ratings": "", "reviews": ""}
		text := ""
		if i == 1 {
			apps["reviews"] = "http://ratings:9080/"
			text = strings.TrimSpace(strings.Repeat(stars+"\n", starLines))
		}
		err := s.apply(ctx, c, "bookinfo.yaml", map[string]any{
			"Image": mockImage, "Version": fmt.Sprintf("v%d", i+1), "Text": text, "Regions": []string{both[0].Region, both[1].Region}, "Apps": apps,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range both {
		if err := awaitAnswers(ctx, s, c, pageURL); err != nil {
			t.Fatal(err)
		}
	}
}

// expectStars on so many lines of some pages that are called one by one.
func (d *drill) expectStars(want int) {
	d.Helper()
	lines := 0
	for range pages {
		page, err := d.answer(d.Context(), d.home(), d.home().Zones[0], pageURL)
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
