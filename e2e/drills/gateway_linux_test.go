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
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// gateway is drill D5: an ordinary ingress stands before a service that is one of both clusters. They share its calls alike; when
// httpbin is gone from the first, the second answers all, which the first one's health checks see to before Kubernetes does.
func gateway(w *world, t *testing.T) {
	home, away := w.home(), w.away()
	w.deployHTTPBin(t)
	w.deployIngress(t, "httpbin")
	d := w.begin(t, "one gateway", func(c, _ *cluster, _ string) load.Config {
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
func (w *world) deployHTTPBin(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for _, c := range w.clusters {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
			defer cancel()
			out, err := c.Kubectl(ctx, "-n", namespace, "delete", "deployments,services,serviceexports,trafficpolicies", "httpbin",
				"--ignore-not-found").CombinedOutput()
			if err != nil {
				t.Errorf("delete httpbin of %s: %v: %s", c.Name, err, out)
			}
		})
		if err := c.applyTemplate(ctx, "httpbin.yaml", map[string]any{"Image": mockImage, "Version": c.Name}); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitUnhealthy until all proxies of the cluster have an endpoint of httpbin in that state, and its peers see none that is ready there.
func (d *drill) awaitUnhealthy(c *cluster, want string) {
	d.Helper()
	for _, from := range d.clusters {
		what := fmt.Sprintf("%s to see no healthy httpbin in %s", from.Name, c.Name)
		d.must(lab.Await(d.Context(), what, patience, func(ctx context.Context) error {
			out, err := d.Eastway(ctx, "endpoints", namespace+"/httpbin", "--context", from.Name, "--all", "-o", "json")
			if err != nil {
				return err
			}
			var answers []admin.ServiceEndpoints
			if err := json.Unmarshal([]byte(out), &answers); err != nil {
				return fmt.Errorf("%w: %s", err, out)
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
func (d *drill) expectAccessLog(service string, clusters ...*cluster) {
	d.Helper()
	pods, err := install.Pods(d.Context(), d.home().Client, "proxy")
	d.must(err)
	seen := make(map[string]int)
	for i := range pods {
		out, err := d.home().Kubectl(d.Context(), "-n", install.Namespace, "logs", pods[i].Name, "--tail=5000").CombinedOutput()
		d.must(err)
		for line := range strings.Lines(string(out)) {
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
	}
	for _, c := range clusters {
		if seen[c.Name] == 0 {
			d.Errorf("the access log has no request that went to %s: %v", c.Name, seen)
		}
	}
	d.notes = append(d.notes, fmt.Sprintf("the access log has upstream_host, cluster and locality of each request, by cluster: %v", seen))
}
