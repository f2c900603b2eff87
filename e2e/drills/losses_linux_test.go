package drills

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// silenceTime is how long a call may still be sent into a peer's replica that
// fell silent: until it is suspect, after about 1 s without an inbound byte.
const silenceTime = 3 * time.Second

// laneLife is how long a QUIC lane is kept from which nothing comes, 10 s, and what a busy computer needs.
const laneLife = 15 * time.Second

// zoneLost: the only node of a zone loses its power, with all pods on it: a
// proxy, an agent, applications, half of the cluster's DNS.
func zoneLost(w *world, t *testing.T) {
	d := w.begin(t, "zone lost", usual)
	home, ctx := w.home(), t.Context()
	node := home.Nodes[1]
	staying := slices.DeleteFunc(d.zones(), func(zone string) bool { return zone == node.Zone })
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("lost")
	d.lost[node.Zone] = true
	off := false
	t.Cleanup(func() {
		if off {
			if err := node.Start(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		}
	})
	from := time.Now()
	d.must(node.Kill(ctx))
	to := time.Now()
	off = true
	d.excuse = func(r *record) string { return excuseLost(r, node.Zone, from, to) }
	d.await("every chain of the other zones answers from its own zone", lastOf(manyCalls*longer, staying, (*record).home))

	d.phase("back")
	off = false
	d.must(node.Start(ctx))
	d.must(home.awaitDeployments(ctx))
	d.must(w.settled(ctx))
	d.follow()
	d.await("every chain of the other zones answers from its own zone", lastOf(manyCalls, staying, (*record).home))
	d.end()
}

// longer than what a healthy phase needs.
const longer = 4

// excuseLost says whether a request had to fail because a zone lost its power at
// some moment between two.
func excuseLost(r *record, zone string, from, to time.Time) string {
	switch {
	case r.End.Before(from):
		return ""
	case r.zone == zone:
		return "made in the zone that was lost"
	case r.Start.Before(to):
		return "in flight when the zone was lost"
	case r.mayCross() && r.Start.Before(to.Add(silenceTime)):
		return "sent to the zone's proxy before its silence was noticed"
	default:
		return ""
	}
}

// leaderKilled: the leading controller is killed; the other one takes over and
// does what is new. Callers never notice.
func leaderKilled(w *world, t *testing.T) {
	d := w.begin(t, "leader killed", usual)
	home, away, ctx := w.home(), w.away(), t.Context()
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("killed")
	leader, err := home.leader(ctx)
	d.must(err)
	pod, _, _ := strings.Cut(leader, "_")
	d.must(home.SignalContainer(ctx, install.Namespace, pod, "controller", syscall.SIGKILL))
	const late = `
apiVersion: v1
kind: Service
metadata: {name: late, namespace: drills}
spec:
  selector: {app: mocka}
  ports: [{name: http, port: 80, targetPort: 8000}]
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: late, namespace: drills}
`
	d.must(home.Cluster.Apply(ctx, []byte(late)))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
		defer cancel()
		out, err := home.Kubectl(ctx, "-n", namespace, "delete", "service/late", "serviceexport/late", "--ignore-not-found").CombinedOutput()
		if err != nil {
			t.Errorf("delete the late service: %v: %s", err, out)
		}
	})
	d.must(lab.Await(ctx, "another one to lead", patience, func(ctx context.Context) error {
		now, err := home.leader(ctx)
		if err == nil && now == leader {
			err = fmt.Errorf("%s still leads", leader)
		}
		return err
	}))
	url := "http://late." + namespace + ".svc.clusterset.local/"
	d.must(lab.Await(ctx, "the new export to be called", patience, func(ctx context.Context) error {
		_, err := away.call(ctx, away.Zones[0], url)
		return err
	}))
	d.must(w.settled(ctx))
	d.end()
}

// leader is the identity of the controller that leads: its pod's name, '_', and more.
func (c *cluster) leader(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	if err := c.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: "eastway-controller"}, &lease); err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", fmt.Errorf("no controller of %s leads", c.Name)
	}
	return *lease.Spec.HolderIdentity, nil
}

// addressChanged: the tunnel Service of a cluster is made anew and gets another
// address. Kubernetes forgets the UDP flows to the old one at once, and with them
// QUIC lanes; everything else goes on, also when `peer link` tells the new one.
func addressChanged(w *world, t *testing.T) {
	d := w.begin(t, "tunnel address changed", usual)
	home, ctx := w.home(), t.Context()
	d.phase("healthy")
	d.await("every chain answers from its own zone", lastOf(someCalls, d.zones(), (*record).home))

	d.phase("changed")
	before, err := home.tunnelAddress(ctx)
	d.must(err)
	kubectl := func(args ...string) {
		t.Helper()
		if out, err := home.Kubectl(ctx, args...).CombinedOutput(); err != nil {
			t.Fatalf("kubectl %v: %v: %s", args, err, out)
		}
	}
	from := time.Now()
	kubectl("-n", install.Namespace, "delete", "service", "eastway-tunnel")
	to := time.Now()
	d.excuse = func(r *record) string {
		if r.mayCross() && r.Start.Before(to.Add(silenceTime)) && r.End.After(from) && r.End.Before(to.Add(silenceTime+laneLife)) {
			return "on a QUIC lane to the address that is gone, or sent there before its silence was noticed"
		}
		return ""
	}
	kubectl("create", "service", "loadbalancer", "squatter", "--tcp=1:1") // takes the address that is free now
	t.Cleanup(func() { _ = home.Kubectl(context.WithoutCancel(ctx), "delete", "service", "squatter").Run() })
	d.must(lab.Await(ctx, "the address to be taken", patience, func(ctx context.Context) error {
		var s corev1.Service
		if err := home.Get(ctx, client.ObjectKey{Namespace: "default", Name: "squatter"}, &s); err != nil {
			return err
		}
		if len(s.Status.LoadBalancer.Ingress) == 0 {
			return fmt.Errorf("service %s has no address", s.Name)
		}
		return nil
	}))
	d.must(w.Upgrade(ctx, home.Cluster))
	d.must(lab.Await(ctx, "another address", patience, func(ctx context.Context) error {
		now, err := home.tunnelAddress(ctx)
		if err == nil && now == before {
			err = fmt.Errorf("it is %s still", before)
		}
		return err
	}))
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))

	d.phase("linked again")
	d.must(w.Link(ctx))
	now, err := home.tunnelAddress(ctx)
	d.must(err)
	var known v1alpha1.Peer
	if d.must(w.away().Get(ctx, client.ObjectKey{Name: home.Name}, &known)); !slices.Contains(known.Spec.Addresses, now+":15443") {
		t.Errorf("%s dials %s at %v, and not at %s", w.away().Name, home.Name, known.Spec.Addresses, now)
	}
	d.await("every chain answers from its own zone", lastOf(manyCalls, d.zones(), (*record).home))
	d.end()
}

// tunnelAddress of the cluster, at which its peers reach it.
func (c *cluster) tunnelAddress(ctx context.Context) (string, error) {
	var s corev1.Service
	if err := c.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: "eastway-tunnel"}, &s); err != nil {
		return "", err
	}
	if len(s.Status.LoadBalancer.Ingress) == 0 {
		return "", fmt.Errorf("service %s has no address", s.Name)
	}
	return s.Status.LoadBalancer.Ingress[0].IP, nil
}
