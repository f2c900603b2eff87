package kubecli

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/internal/peering"
)

// Own is the cluster's own Peer manifest, as its controller publishes it.
func (c *Cluster) Own(ctx context.Context) (peering.Manifest, error) {
	m, _, err := c.own(ctx)
	return m, err
}

// own also says where the addresses are from.
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
	return m, found.Data[peering.FromKey], nil
}

// AwaitOwn is Own for a cluster where Eastway was installed a moment ago. While the controller's Deployment is there and its
// manifest is not, it waits, until that time; while the manifest lacks the address of the tunnel Service's load balancer, for
// half as long. tell is called once for each thing that is waited for.
func (c *Cluster) AwaitOwn(ctx context.Context, until time.Time, tell func(what string)) (peering.Manifest, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	addressUntil := time.Now().Add(time.Until(until) / 2)
	for told := ""; ; {
		m, from, err := c.own(ctx)
		if err != nil && !errors.Is(err, ErrNotInstalled) {
			return m, err
		}
		var missing string
		if err == nil {
			if missing = c.missingAddress(ctx, from); missing == "" || !time.Now().Before(addressUntil) {
				return m, nil // the other side may have an address
			}
		} else {
			if installed, failed := c.hasController(ctx); !installed || failed != nil {
				return m, err // that there is no manifest says more than that nobody knows whether there will be
			}
			missing = fmt.Sprintf("the controller of release %s in namespace %s, which makes the cluster's own Peer manifest on its first start",
				c.Release, c.Namespace)
		}
		if !time.Now().Before(until) {
			return m, c.notStarted(ctx)
		}
		if told != missing {
			tell(fmt.Sprintf("%s: waiting for %s", c, missing))
			told = missing
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
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

func (c *Cluster) hasController(ctx context.Context) (bool, error) {
	var list appsv1.DeploymentList
	err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(Controller))
	return len(list.Items) > 0, c.explain("find the controller's Deployment", err)
}

// notStarted says what keeps the controller from its first start.
func (c *Cluster) notStarted(ctx context.Context) error {
	pods, err := c.Pods(ctx, Controller)
	trouble := describePods(pods)
	switch {
	case err != nil:
		return err
	case len(pods) == 0:
		trouble = "it has no pods"
	}
	return fmt.Errorf("the controller of release %s in namespace %s has not made the cluster's own Peer manifest in time: %s: see 'eastway check'",
		c.Release, c.Namespace, trouble)
}
