package discovery

import (
	"maps"
	"slices"
)

// unhealthy are the endpoints of the own cluster that fail their health check, and why.
type unhealthy map[ServiceName]map[EndpointRef]string

// set changes one and returns whether that is a change.
func (u unhealthy) set(at EndpointRef, reason string) bool {
	of := u[at.Service]
	switch {
	case of[at] == reason:
		return false
	case reason == "":
		if delete(of, at); len(of) == 0 {
			delete(u, at.Service)
		}
	case of == nil:
		u[at.Service] = map[EndpointRef]string{at: reason}
	default:
		of[at] = reason
	}
	return true
}

// mark returns the service with its unhealthy endpoints marked; s itself stays as it is.
func (u unhealthy) mark(s *Service) *Service {
	if s == nil || len(u[s.Name]) == 0 {
		return s
	}
	marked := *s
	marked.Endpoints = maps.Clone(s.Endpoints)
	for port, endpoints := range s.Endpoints {
		var mine []Endpoint
		for i := range endpoints {
			reason := u[s.Name][EndpointRef{s.Name, port, endpoints[i].Address}]
			if reason == "" {
				continue
			}
			if mine == nil {
				mine = slices.Clone(endpoints)
				marked.Endpoints[port] = mine
			}
			mine[i].Unhealthy = reason
		}
	}
	return &marked
}

// SetUnhealthy changes why endpoints of the own cluster fail their health check, by those who check them; an empty reason: they do not.
// The others stay as they are, whatever the source sets.
func (c *Catalog) SetUnhealthy(reasons map[EndpointRef]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dirty := map[ServiceName]struct{}{}
	for at, reason := range reasons {
		if c.unhealthy.set(at, reason) {
			dirty[at.Service] = struct{}{}
		}
	}
	if len(dirty) == 0 {
		return
	}
	c.exports.update(slices.Collect(maps.Keys(dirty)), c.own, c.local.Peers, c.local.Peers)
	c.publish(dirty)
}

// own is the service of the own cluster, with its policy and what checks have found; nil when there is none. c.mu is held.
func (c *Catalog) own(name ServiceName) *Service {
	s, p := c.local.Services.Get(name), c.local.policy(name)
	if s != nil && p != nil {
		ruled := *s
		ruled.Policy, s = p, &ruled
	}
	return c.unhealthy.mark(s)
}
