package kube

import (
	"maps"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// tunnelPort is the name of the port that proxies accept tunnels on, in the Services of the installation.
const tunnelPort = "tunnel"

// kindPod is the kind of what most endpoints refer to.
const kindPod = "Pod"

// proxies is how many of the own cluster serve: pods behind a tunnel port in the installation's namespace. A Service with each of them as
// an endpoint is part of the chart. The addresses, sorted, are those of all its pods that no node has: only a proxy uses them.
func (w *world) proxies() (serving int, addresses []netip.Addr) {
	pods, all := map[string]struct{}{}, map[netip.Addr]struct{}{}
	for at, group := range w.slices {
		if at.Namespace != w.namespace {
			continue
		}
		for _, s := range group {
			if !slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return p.Name != nil && *p.Name == tunnelPort }) {
				continue
			}
			for i := range s.Endpoints {
				e := &s.Endpoints[i]
				if e.TargetRef == nil {
					continue
				}
				if serves(&e.Conditions) { // of two families it is one pod
					pods[e.TargetRef.Name] = struct{}{}
				}
				for _, text := range e.Addresses {
					if a, err := netip.ParseAddr(text); err == nil && e.TargetRef.Kind == kindPod {
						all[a.Unmap()] = struct{}{}
					}
				}
			}
		}
	}
	for _, n := range w.nodes {
		for _, at := range n.Status.Addresses {
			if a, err := netip.ParseAddr(at.Address); err == nil {
				delete(all, a.Unmap())
			}
		}
	}
	return len(pods), slices.SortedFunc(maps.Keys(all), netip.Addr.Compare)
}

// serves is true for a pod that gets new connections. Of a Service that publishes all addresses, Ready means nothing.
func serves(c *discoveryv1.EndpointConditions) bool {
	terminating := c.Terminating != nil && *c.Terminating
	if c.Serving != nil {
		return *c.Serving && !terminating
	}
	return (c.Ready == nil || *c.Ready) && !terminating
}
