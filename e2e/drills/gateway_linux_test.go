package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/status"
)

// gateway is drill D5: an ordinary ingress stands before a service that is one of both clusters. They share its calls alike; when
// httpbin is gone from the first, the second answers all, which the first one's health checks see to before Kubernetes does.
func gateway(s stage, t *testing.T) {
	home, away := s.sites()[0], s.sites()[1]
	deployHTTPBin(s, t)
	deployIngress(s, t, "httpbin")
	d := begin(s, t, "one gateway", func(c, _ *site, _ string) load.Config {
		if c != home {
			return load.Config{}
		}
		return load.Config{Calls: []load.Calls{{URL: keptURL, Rate: ingressRate}, {URL: freshURL, Rate: ingressRate}}}
	})
	d.watched = "httpbin"
	d.today = "half of the calls go to each cluster, and all to one when the other has none; without figures"
	crossed := func(r *record) bool { return r.ok() && r.by("httpbin") == away.Name }
	all := lastTo(ingressCalls, home.Zones, []string{keptURL, freshURL}, crossed)

	d.phase("alike in both clusters")
	d.expectShare(crossed, share{percent: 50, within: 5, sample: 400})

	d.phase("first cluster's pods do not listen") // and Kubernetes takes them to be ready
	d.look(crossed)
	d.setMode(home, "nothing", "httpbin")
	d.awaitUnhealthy(home, status.FailedActiveHC)
	d.await("the other cluster answers all", all)

	d.phase("first cluster's pods gone")
	d.scale(home, 0, "httpbin")
	d.await("the other cluster answers all", all)

	d.phase("back")
	d.look(func(r *record) bool { return r.ok() && r.by("httpbin") == home.Name })
	d.scale(home, 1, "httpbin")
	d.setMode(home, "serve", "httpbin")
	d.expectShare(crossed, share{percent: 50, within: 5, sample: 400})
	d.expectAccessLog("httpbin", home, away)
	d.end()
}

// deployHTTPBin into all clusters until the test ends.
func deployHTTPBin(s stage, t *testing.T) {
	t.Helper()
	for _, c := range s.sites() {
		removeAtEnd(s, t, c, "httpbin")
		if err := s.apply(t.Context(), c, "httpbin.yaml", map[string]any{"Image": mockImage, "Version": c.Name}); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitUnhealthy until all proxies of the cluster have an endpoint of httpbin in that state, and its peers see none that is ready there.
func (d *drill) awaitUnhealthy(c *site, want string) {
	d.Helper()
	for _, from := range d.sites() {
		what := fmt.Sprintf("%s to see no healthy httpbin in %s", from.Name, c.Name)
		d.must(lab.Await(d.Context(), what, patience, func(ctx context.Context) error {
			answers, err := d.endpoints(ctx, from, "httpbin")
			if err != nil {
				return err
			}
			for _, a := range answers {
				for i := range a.Endpoints {
					switch e := &a.Endpoints[i]; {
					case e.Cluster != c.Name:
					case from == c && e.Status != want, e.Status == status.Healthy:
						return fmt.Errorf("%s is %s", e.Address, e.Status)
					}
				}
			}
			return nil
		}))
	}
}

// expectAccessLog to name endpoint, cluster and locality of each request to the service, among them some of each of the clusters.
func (d *drill) expectAccessLog(service string, clusters ...*site) {
	d.Helper()
	logs, err := d.accessLogs(d.Context(), d.home())
	d.must(err)
	seen := make(map[string]int)
	for line := range strings.Lines(logs) {
		var entry struct {
			Service, Direction, Cluster, Locality string
			Host                                  string `json:"upstream_host"`
			Code                                  int    `json:"response_code"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil { // the other log
			continue
		}
		if entry.Service != namespace+"/"+service || entry.Direction != "outbound" || entry.Code != http.StatusOK {
			continue
		}
		if entry.Host == "" || entry.Locality == "" {
			d.Errorf("the access log does not say where it went: %s", line)
		}
		seen[entry.Cluster]++
	}
	for _, c := range clusters {
		if seen[c.Name] == 0 {
			d.Errorf("the access log has no request that went to %s: %v", c.Name, seen)
		}
	}
	d.notes = append(d.notes, fmt.Sprintf("the access log has upstream_host, cluster and locality of each request, by cluster: %v", seen))
}
