package translate

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/eastway/eastway/discovery"
)

// Places locates the endpoints of a cluster, and knows whose readiness is not reliable.
type Places struct {
	region string                        // where nothing else is known
	zones  map[string]string             // zone → region
	nodes  map[string]discovery.Locality // by name
	unsure map[string]bool               // nodes
}

// NewPlaces knows no node yet; region is that of everything that nothing else places.
func NewPlaces(region string) *Places {
	return &Places{
		region: region, zones: map[string]string{}, nodes: map[string]discovery.Locality{},
		unsure: map[string]bool{},
	}
}

// AddNode takes a node's labels. Of two nodes that put one zone into different regions the first wins.
func (p *Places) AddNode(n *corev1.Node) {
	at := discovery.Locality{Region: n.Labels[corev1.LabelTopologyRegion], Zone: n.Labels[corev1.LabelTopologyZone]}
	p.nodes[n.Name] = at
	if at.Zone != "" && at.Region != "" && p.zones[at.Zone] == "" {
		p.zones[at.Zone] = at.Region
	}
}

// AddUnsure takes a node with which the control plane has lost touch, or had until a moment ago: that its pods are not ready
// is the control plane's guess and not their own status.
func (p *Places) AddUnsure(node string) { p.unsure[node] = true }

// Unsure is true if an endpoint that is not ready may serve all the same.
func (p *Places) Unsure(e *discoveryv1.Endpoint) bool {
	return e.NodeName != nil && p.unsure[*e.NodeName]
}

// Node is where the node of that name is, as far as that is known.
func (p *Places) Node(name string) discovery.Locality {
	at := p.nodes[name]
	at.Region = cmp.Or(at.Region, p.zones[at.Zone], p.region)
	return at
}

// Endpoint is where an endpoint of the slice is: in its zone, else its node's; in the region of the slice, else the
// zone's, the node's, the own.
func (p *Places) Endpoint(s *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) discovery.Locality {
	var node discovery.Locality
	if e.NodeName != nil {
		node = p.nodes[*e.NodeName]
	}
	at := discovery.Locality{Zone: node.Zone}
	if e.Zone != nil && *e.Zone != "" {
		at.Zone = *e.Zone
	}
	at.Region = cmp.Or(s.Labels[corev1.LabelTopologyRegion], s.Annotations[corev1.LabelTopologyRegion],
		p.zones[at.Zone], node.Region, p.region)
	return at
}
