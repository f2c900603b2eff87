package takeover

import (
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/eastway/eastway/internal/takeover/report"
)

// healthPortName is the port of the proxies' Service that leads to their health listeners.
const healthPortName = "health"

// agentsPortName is the one that leads to their listeners for node agents. Kubernetes leaves it out of the slices of proxies that have none.
const agentsPortName = "agents"

// proxiesOf makes the inventory's proxies out of their EndpointSlices. nodes are the Nodes' labels, as far as they are known.
func proxiesOf(slicesOfProxies []*discoveryv1.EndpointSlice, health uint16, nodes map[string]report.Locality) []Proxy {
	var out []Proxy
	for _, slice := range slicesOfProxies {
		health, agents := portOf(slice, healthPortName, health), portOf(slice, agentsPortName, 0)
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			for _, text := range e.Addresses {
				address, err := netip.ParseAddr(text)
				if err != nil { // an FQDN slice: none of ours
					continue
				}
				p := Proxy{Address: address.Unmap(), Health: health, Agents: agents}
				if e.TargetRef != nil {
					p.Pod = e.TargetRef.Name
				}
				if e.NodeName != nil {
					p.Locality = nodes[*e.NodeName]
					p.Node = *e.NodeName
				}
				if e.Zone != nil {
					p.Zone = *e.Zone
				}
				out = append(out, p)
			}
		}
	}
	// While an endpoint moves between slices it is in both.
	slices.SortStableFunc(out, func(a, b Proxy) int { return a.Address.Compare(b.Address) })
	return slices.CompactFunc(out, func(a, b Proxy) bool { return a.Address == b.Address })
}

func portOf(slice *discoveryv1.EndpointSlice, name string, otherwise uint16) uint16 {
	for _, p := range slice.Ports {
		if p.Name != nil && *p.Name == name && p.Port != nil && *p.Port > 0 && *p.Port <= 0xffff {
			return uint16(*p.Port)
		}
	}
	return otherwise
}

// trimSlice keeps of an EndpointSlice what proxiesOf reads.
func trimSlice(object any) (any, error) {
	s, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	out := &discoveryv1.EndpointSlice{AddressType: s.AddressType, Ports: s.Ports}
	out.Name, out.Namespace, out.UID, out.ResourceVersion = s.Name, s.Namespace, s.UID, s.ResourceVersion
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{
			Addresses: e.Addresses, NodeName: e.NodeName, Zone: e.Zone, TargetRef: e.TargetRef,
		})
	}
	return out, nil
}

// nodesOf names the nodes that the proxies are on.
func nodesOf(slicesOfProxies []*discoveryv1.EndpointSlice) []string {
	var out []string
	for _, slice := range slicesOfProxies {
		for i := range slice.Endpoints {
			if n := slice.Endpoints[i].NodeName; n != nil {
				out = append(out, *n)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
