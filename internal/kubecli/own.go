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

// Keys of the ConfigMap RELEASE-cluster.
const (
	peerKey    = "peer.yaml"
	clusterKey = "cluster"
)

// Own is the cluster's own Peer manifest, as its controller publishes it.
func (c *Cluster) Own(ctx context.Context) (peering.Manifest, error) {
	key := c.object("cluster")
	var found corev1.ConfigMap
	switch err := c.explain("read the cluster's own Peer manifest", c.client.Get(ctx, key, &found)); {
	case errors.Is(err, ErrNotFound):
		return peering.Manifest{}, fmt.Errorf("%w in namespace %s of %s: there is no ConfigMap %s, which the controller writes on its first "+
			"start: see 'eastway check', or name the namespace and the release", ErrNotInstalled, c.Namespace, c, key.Name)
	case err != nil:
		return peering.Manifest{}, err
	}
	m, err := peering.Parse([]byte(found.Data[peerKey]))
	if err != nil {
		return m, fmt.Errorf("ConfigMap %s, key %s: %w", key, peerKey, err)
	}
	return m, nil
}

// AwaitOwn is Own for a cluster where Eastway was installed a moment ago: while the controller's Deployment is there and its
// manifest is not, it waits until then. tell is called once if there is something to wait for.
func (c *Cluster) AwaitOwn(ctx context.Context, until time.Time, tell func(what string)) (peering.Manifest, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for told := false; ; {
		m, err := c.Own(ctx)
		if !errors.Is(err, ErrNotInstalled) {
			return m, err
		}
		if installed, failed := c.hasController(ctx); !installed || failed != nil {
			return m, err // that there is no manifest says more than that nobody knows whether there will be
		}
		if !time.Now().Before(until) {
			return m, c.notStarted(ctx)
		}
		if !told {
			tell(fmt.Sprintf("%s: waiting for the controller of release %s in namespace %s, which makes the cluster's own Peer manifest on its "+
				"first start", c, c.Release, c.Namespace))
			told = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m, ctx.Err()
		}
	}
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
