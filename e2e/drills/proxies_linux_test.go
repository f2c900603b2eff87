package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// noticeTime is how long after a proxy's end its node's agent may take to send
// new connections to another one: a second, and what a busy computer needs.
const noticeTime = 2 * time.Second

// resetTime is how long after a proxy's end its peers may take to read that its connections are closed. What they send on
// one before has an unknown outcome.
const resetTime = 200 * time.Millisecond

// lag of the clouds' load balancers before the tunnels.
const lag = "10s"

// settled returns when all of Eastway is ready and connected.
func (w *world) settled(ctx context.Context) error {
	for _, c := range w.clusters {
		err := lab.Await(ctx, "Eastway's pods in "+c.Name, patience, func(ctx context.Context) error {
			for _, component := range []string{"controller", "proxy", "node"} {
				pods, err := install.Pods(ctx, c.Client, component)
				if err != nil {
					return err
				}
				const each = 2
				if len(pods) != each {
					return fmt.Errorf("there are %d pods of %s instead of %d", len(pods), component, each)
				}
				for i := range pods {
					if !ready(&pods[i]) {
						return fmt.Errorf("%s is not ready", pods[i].Name)
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return w.AwaitConnected(ctx)
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// pod of a component in a zone.
func (c *cluster) pod(ctx context.Context, component, zone string) (*corev1.Pod, error) {
	pods, err := install.Pods(ctx, c.Client, component)
	if err != nil {
		return nil, err
	}
	for i := range pods {
		n := slices.IndexFunc(c.Nodes, func(n *lab.Node) bool { return n.Name == pods[i].Spec.NodeName })
		if n >= 0 && c.Nodes[n].Zone == zone {
			return &pods[i], nil
		}
	}
	return nil, fmt.Errorf("%s has no %s in %s", c.Name, component, zone)
}

// replaced: everything is replaced under load while load balancers lag, in one
// cluster by an upgrade of the chart, in the other by a rolling restart.
func replaced(w *world, t *testing.T) {
	for _, c := range w.clusters {
		lags := []string{"-n", install.Namespace, "annotate", "--overwrite", "service", "eastway-tunnel", "lab.eastway.dev/lag=" + lag}
		if out, err := c.Kubectl(t.Context(), lags...).CombinedOutput(); err != nil {
			t.Fatalf("let the load balancer lag: %v: %s", err, out)
		}
	}
	d := w.begin(t, "upgrade and rolling restart", usual)
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))
	d.phase("replaced")
	d.must(w.All(func(c *lab.Cluster) error {
		if c.Name == w.away().Name {
			return w.restart(t.Context(), c)
		}
		const mark = ".podAnnotations.upgraded=yes"
		return w.Upgrade(t.Context(), c, "proxy"+mark, "controller"+mark, "node"+mark)
	}))
	d.must(w.settled(t.Context())) // and those before are gone
	d.phase("after")
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	d.end()
}

// restart all workloads of an installation.
func (w *world) restart(ctx context.Context, c *lab.Cluster) error {
	workloads := []string{"deployment/eastway-controller", "deployment/eastway-proxy", "daemonset/eastway-node"}
	var errs []error
	kubectl := func(args ...string) {
		if out, err := c.Kubectl(ctx, append([]string{"-n", install.Namespace, "rollout"}, args...)...).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("rollout %v: %w: %s", args, err, out))
		}
	}
	kubectl(append([]string{"restart"}, workloads...)...)
	for _, one := range workloads {
		kubectl("status", one, "--timeout=3m")
	}
	return errors.Join(errs...)
}

// proxyKilled: a proxy's process ends from one moment to the next.
func proxyKilled(w *world, t *testing.T) {
	d := w.begin(t, "proxy killed", usual)
	home := w.home()
	zone := home.Zones[0]
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))
	pod, err := home.pod(t.Context(), "proxy", zone)
	d.must(err)

	d.phase("killed")
	killed := time.Now()
	d.must(home.SignalContainer(t.Context(), install.Namespace, pod.Name, "proxy", syscall.SIGKILL))
	gone := time.Now()
	d.excuse = func(r *record) string { return excuseKilled(r, zone, killed, gone) }
	d.must(w.settled(t.Context()))
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	d.end()
}

// excuseKilled says whether a request had to fail because the proxy of a zone
// was killed at some moment between two.
func excuseKilled(r *record, zone string, from, to time.Time) string {
	switch {
	case r.End.Before(from):
		return ""
	case r.Start.Before(to) && r.zone == zone, r.Start.Before(to.Add(resetTime)) && r.mayCross():
		return "in flight on the proxy that was killed"
	case r.Start.Before(to.Add(noticeTime)) && r.zone == zone:
		return "before its node noticed that the proxy was gone"
	default:
		return ""
	}
}
