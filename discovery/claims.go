package discovery

import (
	"fmt"
	"slices"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// within is the export without the localities that the peer may not claim: what it has there is nowhere near any caller.
func (x *PeerExport) within(spec *v1alpha1.PeerSpec) PeerExport {
	out := *x
	if len(spec.Localities) == 0 {
		return out
	}
	allowed := func(l Locality) bool { return spec.MayClaim(l.Region, l.Zone) }
	if i := slices.IndexFunc(x.Readiness, func(r Readiness) bool { return !allowed(r.Locality) }); i >= 0 {
		out.Outside, out.Readiness = x.Readiness[i].Locality, slices.Clone(x.Readiness)
		for ; i < len(out.Readiness); i++ {
			if !allowed(out.Readiness[i].Locality) {
				out.Readiness[i].Locality = Locality{}
			}
		}
	}
	if i := slices.IndexFunc(x.Pods, func(p Pod) bool { return !allowed(p.Locality) }); i >= 0 {
		out.Outside, out.Pods = x.Pods[i].Locality, slices.Clone(x.Pods)
		for ; i < len(out.Pods); i++ {
			if !allowed(out.Pods[i].Locality) {
				out.Pods[i].Locality = Locality{}
			}
		}
	}
	return out
}

// outside are the services for which each peer claims localities that it may not, and one of these.
func (s *Snapshot) outside() map[string]outsideClaims {
	out := map[string]outsideClaims{}
	for _, svc := range s.Services.All() {
		for i := range svc.Peers {
			if e := &svc.Peers[i]; e.Outside != (Locality{}) {
				c := out[e.Peer]
				c.services++
				if at := e.Outside.String(); c.example == "" || at < c.example {
					c.example = at
				}
				out[e.Peer] = c
			}
		}
	}
	return out
}

type outsideClaims struct {
	services int
	example  string
}

func (c outsideClaims) problem(peer string) string {
	return fmt.Sprintf("peer %s claims endpoints of %d services in localities that it may not, such as %s: they count as far; "+
		"if it is there, add that to spec.localities of Peer %s", peer, c.services, c.example, peer)
}
