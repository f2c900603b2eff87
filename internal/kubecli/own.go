package kubecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// Own is the cluster's own Peer manifest, as its controller publishes it.
func (c *Cluster) Own(ctx context.Context) (peering.Manifest, error) {
	m, _, err := c.own(ctx)
	return m, err
}

// own also returns where the addresses are from.
func (c *Cluster) own(ctx context.Context) (m peering.Manifest, from string, err error) {
	key := c.object("cluster")
	var found corev1.ConfigMap
	switch err := c.explain("read the cluster's own Peer manifest", c.client.Get(ctx, key, &found)); {
	case errors.Is(err, ErrNotFound):
		return peering.Manifest{}, "", fmt.Errorf("%w in namespace %s of %s: there is no ConfigMap %s, which the controller writes on its first "+
			"start: see 'eastway check', or name the namespace and the release", ErrNotInstalled, c.Namespace, c, key.Name)
	case err != nil:
		return peering.Manifest{}, "", err
	}
	if m, err = peering.Parse([]byte(found.Data[peering.PeerKey])); err != nil {
		return m, "", fmt.Errorf("ConfigMap %s, key %s: %w", key, peering.PeerKey, err)
	}
	from = found.Data[peering.FromKey]
	m.Peer.Spec.Addresses = currentAddresses(ctx, c, m.Peer.Spec.Addresses, from)
	return m, from, nil
}

// AwaitOwn is Own for a cluster where Eastway was installed a moment ago. While the controller's Deployment exists and its
// manifest does not, it waits until that time; while the manifest lacks the address of the tunnel Service's load balancer, or
// the roots of a CA that was just replaced, for half as long. report is called once for each thing that it waits for, and for
// roots that never came.
func (c *Cluster) AwaitOwn(ctx context.Context, until time.Time, report func(what string)) (peering.Manifest, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	settledUntil := time.Now().Add(time.Until(until) / 2)
	for reported := ""; ; {
		m, from, err := c.own(ctx)
		if err != nil && !errors.Is(err, ErrNotInstalled) {
			return m, err
		}
		var missing string
		if err == nil {
			stale := c.Unpublished(ctx, m)
			if missing = c.missingAddress(ctx, from); stale != "" {
				missing = "the controller to publish another manifest: " + stale
			}
			switch {
			case missing == "":
				return m, nil
			case !time.Now().Before(settledUntil): // the other side may have an address
				if stale != "" {
					report(fmt.Sprintf("%s: peers get the manifest as it is: %s", c, stale))
				}
				return m, nil
			}
		} else {
			if installed, failed := c.hasController(ctx); !installed || failed != nil {
				return m, err // a missing manifest is the better error
			}
			missing = fmt.Sprintf("the controller of release %s in namespace %s, which makes the cluster's own Peer manifest on its first start",
				c.Release, c.Namespace)
		}
		if !time.Now().Before(until) {
			return m, c.notStarted(ctx)
		}
		if reported != missing {
			report(fmt.Sprintf("%s: waiting for %s", c, missing))
			reported = missing
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
}

// Unpublished explains that the Secret of the cluster's CA has other roots than its manifest: the controller reads it only every
// half minute. It is "" if they are equal, and if the caller may not read the Secret, or it cannot be used.
func (c *Cluster) Unpublished(ctx context.Context, m peering.Manifest) string {
	ca, err := CA(ctx, c)
	if err != nil || ca == nil || ca.Bundle().Equal(m.Identity.Bundle) {
		return ""
	}
	return "Secret " + c.object("ca").Name + " has other roots than the manifest, which follows within half a minute"
}

// missingAddress names the tunnel Service whose load balancer's address is not in the manifest yet.
func (c *Cluster) missingAddress(ctx context.Context, from string) string {
	if from != peering.FromNodePorts && from != peering.FromNowhere {
		return ""
	}
	var list corev1.ServiceList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(Proxy)); err != nil {
		return "" // that is not needed to link clusters
	}
	for i := range list.Items {
		if s := &list.Items[i]; s.Spec.Type == corev1.ServiceTypeLoadBalancer {
			return "the address of the load balancer of Service " + s.Name
		}
	}
	return ""
}

// currentAddresses are those published, or those of the tunnel Services' load balancers if none of them is published: the Service was made
// anew a moment ago, and the controller has not seen it yet, perhaps for minutes if it was without the API server.
func currentAddresses(ctx context.Context, c *Cluster, published []string, from string) []string {
	var list corev1.ServiceList
	if from != peering.FromLoadBalancer || c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(Proxy)) != nil {
		return published
	}
	var now []string
	for i := range list.Items {
		s := &list.Items[i]
		for _, in := range s.Status.LoadBalancer.Ingress {
			for _, p := range s.Spec.Ports {
				host := cmp.Or(in.IP, strings.TrimSuffix(in.Hostname, "."))
				if a := net.JoinHostPort(host, strconv.Itoa(int(p.Port))); host != "" && !slices.Contains(now, a) {
					now = append(now, a)
				}
			}
		}
	}
	if len(now) == 0 || slices.ContainsFunc(now, func(a string) bool { return slices.Contains(published, a) }) {
		return published
	}
	return now[:min(len(now), v1alpha1.MaxPeerAddresses)]
}

func (c *Cluster) hasController(ctx context.Context) (bool, error) {
	var list appsv1.DeploymentList
	err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(Controller))
	return len(list.Items) > 0, c.explain("find the controller's Deployment", err)
}

// notStarted is what keeps the controller from its first start.
func (c *Cluster) notStarted(ctx context.Context) error {
	pods, err := c.Pods(ctx, Controller)
	problem := describePods(pods)
	switch {
	case err != nil:
		return err
	case len(pods) == 0:
		problem = "it has no pods"
	}
	return fmt.Errorf("the controller of release %s in namespace %s has not made the cluster's own Peer manifest in time: %s: see 'eastway check'",
		c.Release, c.Namespace, problem)
}
