package kube

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// tunnelPort is the name of the port that proxies accept tunnels on, in the Services of the installation.
const tunnelPort = "tunnel"

// proxies is how many of the own cluster serve: pods behind a tunnel port in the installation's namespace. A Service with each of them as
// an endpoint is part of the chart.
func (w *world) proxies() int {
	pods := map[string]struct{}{}
	for at, group := range w.slices {
		if at.Namespace != w.namespace {
			continue
		}
		for _, s := range group {
			if !slices.ContainsFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return p.Name != nil && *p.Name == tunnelPort }) {
				continue
			}
			for i := range s.Endpoints {
				if e := &s.Endpoints[i]; e.TargetRef != nil && serves(&e.Conditions) { // of two families it is one pod
					pods[e.TargetRef.Name] = struct{}{}
				}
			}
		}
	}
	return len(pods)
}

// serves is true for a pod that gets new connections. Of a Service that publishes all addresses, Ready means nothing.
func serves(c *discoveryv1.EndpointConditions) bool {
	terminating := c.Terminating != nil && *c.Terminating
	if c.Serving != nil {
		return *c.Serving && !terminating
	}
	return (c.Ready == nil || *c.Ready) && !terminating
}
