package balance

import (
	"slices"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// reachesOwn is false for endpoints of the own cluster that are outside the policy's scope for a caller.
func (s *policy) reachesOwn(c *Caller, at discovery.Locality) bool {
	return c.Remote || s.scope != v1alpha1.ScopeRegion || sameRegion(c.Locality, at)
}

// reachesPeer is false for peers that are outside of it. Of a peer with endpoints in several regions its proxy chooses those near the caller.
func (s *policy) reachesPeer(c *Caller, e *discovery.PeerExport, port uint16) bool {
	switch s.scope {
	case v1alpha1.ScopeCluster:
		return false
	case v1alpha1.ScopeRegion:
		return slices.ContainsFunc(e.Readiness, func(r discovery.Readiness) bool {
			return r.Port == port && r.Ready+r.Terminating > 0 && sameRegion(c.Locality, r.Locality)
		})
	default:
		return true
	}
}
