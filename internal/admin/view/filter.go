package view

import (
	"slices"
	"strings"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/status"
)

// Filter selects parts of a Status. The zero value selects all.
type Filter struct {
	// Services by NAMESPACE/NAME, or NAMESPACE/ for all of a namespace.
	Services []string
	// Problems leaves out what is as it should be.
	Problems bool
}

// Apply removes what is not selected, and returns which of Services the proxy does not have.
func (f *Filter) Apply(s *admin.Status) (unknown []string) {
	for _, wanted := range f.Services {
		if !slices.ContainsFunc(s.Services, func(v admin.ServiceStatus) bool { return matches(wanted, &v) }) {
			unknown = append(unknown, wanted)
		}
	}
	away := unreachable(s)
	s.Services = slices.DeleteFunc(s.Services, func(v admin.ServiceStatus) bool {
		named := len(f.Services) == 0 || slices.ContainsFunc(f.Services, func(wanted string) bool { return matches(wanted, &v) })
		return !named || f.Problems && !troubled(&v, away)
	})
	if f.Problems {
		s.Peers = slices.DeleteFunc(s.Peers, func(p status.Peer) bool { return p.State == status.Connected && p.LastError == "" })
	}
	return unknown
}

func matches(wanted string, s *admin.ServiceStatus) bool {
	if namespace, whole := strings.CutSuffix(wanted, "/"); whole {
		return s.Namespace == namespace
	}
	return wanted == s.Namespace+"/"+s.Name
}

// troubled: callers are refused, or fewer endpoints take calls than there are.
func troubled(s *admin.ServiceStatus, away map[string]bool) bool {
	return len(s.Vacant) > 0 || s.LocalReady < s.LocalTotal || slices.ContainsFunc(s.Peers, func(p admin.PeerReadiness) bool {
		return away[p.Peer] || p.Ready < p.Total
	})
}

// unreachable are the peers without a replica that takes calls.
func unreachable(s *admin.Status) map[string]bool {
	away := map[string]bool{}
	for i := range s.Peers {
		away[s.Peers[i].Peer] = connected(s.Peers[i].Links) == 0
	}
	return away
}

// empty is what stands in a section that has nothing to show.
func (f *Filter) empty(none string) string {
	if f.Problems {
		return none + " with problems"
	}
	return none
}
