package identity

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// regions are those of the nodes, sorted, for peers to hold this cluster's claims to; none if one is not known, or there are too many.
// Zones come and go within a region, so that peers would hold new ones to be far.
func regions(nodes []corev1.Node) []string {
	found := map[string]bool{}
	for i := range nodes {
		region := nodes[i].Labels[corev1.LabelTopologyRegion]
		if region == "" {
			return nil
		}
		found[region] = true
	}
	if len(found) > v1alpha1.MaxPeerLocalities {
		return nil
	}
	return slices.Sorted(maps.Keys(found))
}
