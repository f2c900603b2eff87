package drills

import (
	"context"
	"fmt"
	"testing"

	"github.com/eastway/eastway/e2e/apps/load"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// crossing load: only what one cluster calls in the other.
func crossing(_, other *site, _ string) load.Config {
	return load.Config{
		Calls:   []load.Calls{{URL: "http://" + other.soloHost() + ":8000/", Rate: 2 * callRate / zones}},
		Streams: []load.Streams{{Address: other.soloHost() + ":8001", Count: streamCount / zones, Seconds: other.streamSeconds}},
	}
}

// oneSided: one cluster has no public address, and the load balancer in front of
// the other one always picks the same node. Calls go both ways all the same.
func oneSided(w *world, t *testing.T) {
	ctx := t.Context()
	w.setPublic(ctx, t, false)
	t.Cleanup(func() { w.setPublic(context.WithoutCancel(ctx), t, true) })
	d := w.begin(t, "one side private", crossing)
	d.phase("calls both ways")
	d.awaitStreams()
	d.end()
}

// setPublic changes how the second cluster can be reached, and restarts all proxies.
func (w *world) setPublic(ctx context.Context, t *testing.T, public bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	kubectl := func(c *cluster, args ...string) {
		if out, err := c.Kubectl(ctx, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: kubectl %v: %v: %s", c.Name, args, err, out)
		}
	}
	reach, pick := lab.Private, "lab.eastway.dev/pick=first"
	if public {
		reach, pick = lab.Public, "lab.eastway.dev/pick-"
	}
	if err := w.away().SetReach(ctx, reach); err != nil {
		t.Fatal(err)
	}
	kubectl(w.home(), "-n", install.Namespace, "annotate", "--overwrite", "service", "eastway-tunnel", pick)
	if public {
		// As addresses were; kubectl has taken them over.
		if _, err := w.Eastway(ctx, "peer", "link", "--force", "--contexts", w.home().Name+","+w.away().Name); err != nil {
			t.Error(err)
		}
	} else {
		kubectl(w.home(), "patch", "peer", w.away().Name, "--type=merge", "--patch", `{"spec": {"addresses": []}}`)
	}
	for _, c := range w.clusters {
		kubectl(c, "-n", install.Namespace, "delete", "pods", "--selector=app.kubernetes.io/component=proxy", "--grace-period=1")
	}
	if err := w.settled(ctx); err != nil {
		complain(t, fmt.Errorf("%s is %s: %w", w.away().Name, reach, err))
	}
}
