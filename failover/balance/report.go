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
	for port := range portsOf(svc) {
		g := tb.group(Key{Service: service, Port: port})
		if g == nil {
			continue
		}
		p := g.policyNow()
		for _, e := range svc.Endpoints[port] {
			st := status.Endpoint{
				Address: e.Address.String(), Cluster: tb.cfg.Cluster, Port: port, Region: e.Locality.Region, Zone: e.Locality.Zone,
				Level: localRank(tb.cfg.Locality, e.Locality, &p).level, Status: status.Healthy,
			}
			switch {
			case e.Terminating:
				st.Status = status.Terminating
			case !e.Ready:
				st.Status = status.NotReady
			}
			out = append(out, checked(st, g, Address{Endpoint: e.Address}))
		}
		for i := range svc.Peers {
			if st, ok := tb.peerStatus(&svc.Peers[i], port, &p); ok {
				out = append(out, checked(st, g, Address{Peer: svc.Peers[i].Peer}))
			}
		}
	}
	slices.SortFunc(out, func(a, b status.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Level, b.Level), strings.Compare(a.Address, b.Address))
	})
	return out
}

func (tb *Table) peerStatus(e *discovery.PeerExport, port uint16, p *policy) (status.Endpoint, bool) {
	exports := slices.ContainsFunc(e.Ports, func(sp discovery.ServicePort) bool { return sp.Port == port && IsTCP(sp) })
	if !exports {
		return status.Endpoint{}, false
	}
	state := tb.cfg.Peers.State(e.Peer)
	n, terminating := servingAt(e, port)
	at, where := peerRank(tb.cfg.Locality, e, port, terminating, p, state.RTT)
	st := status.Endpoint{
		Address: e.Peer, Cluster: e.Peer, Port: port, Region: where.Region, Zone: where.Zone,
		Level: at.level, Status: status.Healthy, RTT: state.RTT,
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
	return st
}
