package failover

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// maxUnknown bounds the lines of unknownPlaces.
const maxUnknown = 16

// unknownPlaces are the localities in policies at which nothing is, in no service here or of a peer. A policy that many services have is
// reported once.
func unknownPlaces(s *discovery.Snapshot, own discovery.Locality) []string {
	if s == nil {
		return nil
	}
	known := localities(s, own)
	owners := make(map[*v1alpha1.TrafficPolicySpec]discovery.ServiceName)
	for name, svc := range s.Services.All() {
		if p := svc.Policy; p != nil {
			if first, ok := owners[p]; !ok || name.Compare(first) < 0 {
				owners[p] = name
			}
		}
	}
	var out []string
	for p, name := range owners {
		for _, at := range places(p) {
			if !isKnown(known, at.pattern) {
				out = append(out, fmt.Sprintf("service %s: its TrafficPolicy has %q in %s, where nothing is, here or at a connected peer: "+
					"check how it is spelled, and that its peer is connected (eastway status)", name, at.text, at.field))
			}
		}
	}
	slices.Sort(out)
	if n := len(out) - maxUnknown; n > 0 {
		out = append(out[:maxUnknown], fmt.Sprintf("%d more localities in TrafficPolicies where nothing is", n))
	}
	return out
}

// localities are where something is: a node, an endpoint, or, by its Peer, a caller.
func localities(s *discovery.Snapshot, own discovery.Locality) map[discovery.Locality]bool {
	known := map[discovery.Locality]bool{own: true}
	for _, at := range s.Localities.All() {
		known[at] = true
	}
	for i := range s.Networks {
		known[s.Networks[i].Locality] = true
	}
	for _, p := range s.Peers {
		for _, at := range p.Spec.Localities {
			region, zone, _ := strings.Cut(at, "/")
			known[discovery.Locality{Region: region, Zone: zone}] = true
		}
	}
	for _, svc := range s.Services.All() {
		for _, endpoints := range svc.Endpoints {
			for i := range endpoints {
				known[endpoints[i].Locality] = true
			}
		}
		for i := range svc.Peers {
			for _, r := range svc.Peers[i].Readiness {
				known[r.Locality] = true
			}
		}
	}
	return known
}

// place is a locality in a policy.
type place struct {
	pattern     v1alpha1.LocalityPattern
	text, field string
}

// places are where a policy sends calls to, and the regions from where.
func places(p *v1alpha1.TrafficPolicySpec) (out []place) {
	of := func(path string, l *v1alpha1.LoadBalancer) {
		if l == nil || l.LocalityLbSetting == nil {
			return
		}
		path += "loadBalancer.localityLbSetting."
		for i, d := range l.LocalityLbSetting.Distribute {
			if at, err := v1alpha1.ParseLocality(d.From); err == nil {
				out = append(out, place{v1alpha1.LocalityPattern{Region: at.Region}, d.From, fmt.Sprintf("%sdistribute[%d].from", path, i)})
			}
			for _, to := range slices.Sorted(maps.Keys(d.To)) {
				if at, err := v1alpha1.ParseLocality(to); err == nil {
					out = append(out, place{at, to, fmt.Sprintf("%sdistribute[%d].to", path, i)})
				}
			}
		}
		for i, f := range l.LocalityLbSetting.Failover {
			out = append(out, place{v1alpha1.LocalityPattern{Region: f.From}, f.From, fmt.Sprintf("%sfailover[%d].from", path, i)},
				place{v1alpha1.LocalityPattern{Region: f.To}, f.To, fmt.Sprintf("%sfailover[%d].to", path, i)})
		}
	}
	of("spec.", p.LoadBalancer)
	for i := range p.PortLevelSettings {
		of(fmt.Sprintf("spec.portLevelSettings[%d].", i), p.PortLevelSettings[i].LoadBalancer)
	}
	return out
}

func isKnown(known map[discovery.Locality]bool, p v1alpha1.LocalityPattern) bool {
	for at := range known {
		if p.Matches(at.Region, at.Zone) {
			return true
		}
	}
	return false
}

// isPlace is true for a locality where something is, or for which a Peer has its region.
func isPlace(known map[discovery.Locality]bool, at discovery.Locality) bool {
	return known[at] || known[discovery.Locality{Region: at.Region}]
}
