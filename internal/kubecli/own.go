package kubecli

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

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
