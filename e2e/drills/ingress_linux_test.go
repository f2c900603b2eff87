package drills

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/image"
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
func throughIngress(w *world, t *testing.T) {
	w.deployIngress(t, "mocka")
	d := w.begin(t, "ingress", func(*cluster, *cluster, string) load.Config {
		return load.Config{Calls: []load.Calls{{URL: keptURL, Rate: ingressRate}, {URL: freshURL, Rate: ingressRate}}}
	})
	d.watched = "mocka"
	home, first := w.home(), w.home().Zones[0]
	mocka := []string{"mocka-" + home.Zones[0], "mocka-" + home.Zones[1]}
	t.Cleanup(func() { // also when the drill did not get that far
		for _, name := range mocka {
			w.repair(context.WithoutCancel(t.Context()), t, home, name)
		}
	})
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
	crossed := func(r *record) bool { return r.ok() && slices.Contains(w.away().Zones, r.by("mocka")) }
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
func (w *world) deployIngress(t *testing.T, service string) {
	t.Helper()
	nginx := need.Program(t, "nginx", "nginx")
	ctx := t.Context()
	archive, err := w.packNginx(ctx, nginx)
	if err == nil {
		err = w.lab.LoadImage(ctx, archive)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range w.clusters {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
			defer cancel()
			out, err := c.Kubectl(ctx, "-n", namespace, "logs", "--selector=app=ingress", "--prefix", "--tail=-1").CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("nginx of %s has something to complain about (%v):\n%s", c.Name, err, out)
			}
			const restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}" // a log does not outlive its container
			out, err = c.Kubectl(ctx, "-n", namespace, "get", "pods", "--selector=app=ingress", "--output="+restarts).CombinedOutput()
			if err != nil || strings.Trim(string(out), "0 ") != "" {
				t.Errorf("nginx of %s was restarted (%v): %s", c.Name, err, out)
			}
			out, err = c.Kubectl(ctx, "-n", namespace, "delete", "deployment/ingress", "service/ingress", "configmap/ingress").CombinedOutput()
			if err != nil {
				t.Errorf("delete the ingress of %s: %v: %s", c.Name, err, out)
			}
		})
		values := map[string]any{"Image": nginxImage, "Zones": c.Zones, "KeepTime": keepTime, "Service": service}
		if err := c.applyTemplate(ctx, "ingress.yaml", values); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range w.clusters {
		for _, zone := range c.Zones {
			for _, url := range []string{keptURL, freshURL} {
				if err := c.awaitAnswer(ctx, zone, url); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// packNginx makes an image of this computer's nginx.
func (w *world) packNginx(ctx context.Context, program string) (archive string, err error) {
	files, err := image.Program(ctx, program)
	if err != nil {
		return "", err
	}
	archive = filepath.Join(w.dir, "nginx.tar")
	return archive, image.Image{
		Name: nginxImage, Files: files, User: "65532:65532",
		Entrypoint: []string{program, "-e", "stderr", "-c", "/etc/nginx/nginx.conf"},
	}.Save(archive)
}

// scale applications. When it returns, pods have come or are gone.
func (d *drill) scale(c *cluster, replicas int32, names ...string) {
	d.Helper()
	ctx := d.Context()
	for _, name := range names {
		var one appsv1.Deployment
		d.must(c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &one))
		patch := client.MergeFrom(one.DeepCopy())
		one.Spec.Replicas = &replicas
		d.must(c.Patch(ctx, &one, patch))
	}
	d.must(c.awaitDeployments(ctx))
	d.follow()
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
