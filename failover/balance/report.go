package balance

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// Endpoints are the places behind a service, sorted by port, then nearest first for a caller in the proxy's own zone. It is
// nil when there is no such service.
func (tb *Table) Endpoints(service discovery.ServiceName) []status.Endpoint {
	s := tb.snapshot.Load()
	if s == nil {
		return nil
	}
	svc := s.Services.Get(service)
	if svc == nil {
		return nil
	}
	out := []status.Endpoint{}
	for port := range Ports(svc) {
		g := tb.group(Key{Service: service, Port: port})
		if g == nil {
			continue
		}
		p := g.policyNow()
		v := p.localities.view(tb.cfg.Locality, tb.cfg.Locality)
		out = tb.appendEndpoints(out, svc, g, &p, &v)
	}
	sortNearest(out, tb.cfg.Locality)
	return out
}

// sortNearest sorts by port, then by level, a region's own endpoints before others: those of an ExternalService have one level
// wherever they are.
func sortNearest(out []status.Endpoint, caller discovery.Locality) {
	elsewhere := func(e *status.Endpoint) int {
		if sameRegion(caller, discovery.Locality{Region: e.Region}) {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b status.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Level, b.Level), cmp.Compare(elsewhere(&a), elsewhere(&b)),
			strings.Compare(a.Address, b.Address))
	})
}

// appendEndpoints adds the places behind a port, as they are for the callers of a view.
func (tb *Table) appendEndpoints(out []status.Endpoint, svc *discovery.Service, g *group, p *policy, v *view) []status.Endpoint {
	port, caller := g.key.Port, &Caller{Locality: v.caller}
	for _, e := range svc.Endpoints[port] {
		st := status.Endpoint{
			Address: e.Address.String(), Host: e.Host, Cluster: tb.cfg.Cluster, Port: port, Region: e.Locality.Region, Zone: e.Locality.Zone,
			Level: v.local(e.Locality).level(len(v.weights) > 0), Status: status.Healthy, HealthCheck: e.Unhealthy,
		}
		switch {
		case e.Unhealthy != "":
			st.Status = status.FailedActiveHC
		case e.Terminating:
			st.Status = status.Terminating
		case !e.Ready:
			st.Status = status.NotReady
		}
		if !p.reachesOwn(caller, e.Locality) {
			st.Status = status.OutOfScope
		}
		out = append(out, checked(st, g, Address{Endpoint: e.Address}))
	}
	for i := range svc.Peers {
		if st, ok := tb.peerStatus(&svc.Peers[i], port, v); ok {
			if st.Status != status.Unreachable && !p.reachesPeer(caller, &svc.Peers[i], port) {
				st.Status = status.OutOfScope
			}
			out = append(out, checked(st, g, Address{Peer: svc.Peers[i].Peer}))
		}
	}
	for _, peer := range svc.Unused {
		out = append(out, status.Endpoint{
			Address: peer, Cluster: peer, Port: port, Level: levelFar, Status: status.NoConsent, OutlierCheck: status.CheckOK,
		})
	}
	return out
}

func (tb *Table) peerStatus(e *discovery.PeerExport, port uint16, v *view) (status.Endpoint, bool) {
	exports := slices.ContainsFunc(e.Ports, func(sp discovery.ServicePort) bool { return sp.Port == port && IsTCP(sp) })
	if !exports {
		return status.Endpoint{}, false
	}
	state := tb.cfg.Peers.State(e.Peer)
	n, terminating := servingAt(e, port)
	at := v.peer(e, port, terminating, state.RTT)
	st := status.Endpoint{
		Address: e.Peer, Cluster: e.Peer, Port: port, Region: at.locality.Region, Zone: at.locality.Zone,
		Level: at.level(len(v.weights) > 0), Status: status.Healthy, RTT: state.RTT,
	}
	switch {
	case !state.Usable:
		st.Status = status.Unreachable
	case n == 0:
		st.Status = status.NotReady
	case terminating:
		st.Status = status.Terminating
	}
	if n == 0 {
		st.Level = levelFar // where it would be is not known
	}
	return st, true
}

// level is the place's level where localities have weights or not: the one that those share comes before all others.
func (p place) level(weighted bool) int {
	if weighted && len(p.parts) == 0 {
		return p.rank.level + 1
	}
	return p.rank.level
}

// checked fills in the outlier check.
func checked(st status.Endpoint, g *group, a Address) status.Endpoint {
	t, h := g.health(a, time.Now())
	st.EjectedFor = h.Left
	if h.Kind != NoFailure {
		st.EjectionKind = h.Kind.String()
	}
	switch h.State {
	case Ejected:
		st.OutlierCheck = status.CheckFailed
	case Probing:
		st.OutlierCheck = status.CheckProbing
	case Ramping:
		st.OutlierCheck = status.CheckRamping
	default:
		st.OutlierCheck = status.CheckOK
	}
	if t != nil {
		st.Active = int(t.active.Load())
	}
	if st.Status == status.Healthy && g.isVacant() { // no probe of any has passed
		st.Status = status.FailedProbes
	}
	return st
}
