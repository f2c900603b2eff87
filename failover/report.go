package failover

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
)

// Words of EndpointStatus.Status.
const (
	StatusHealthy     = "HEALTHY"
	StatusNotReady    = "NOT_READY"
	StatusTerminating = "TERMINATING" // not ready any more, but serving: used when nothing is ready anywhere
	StatusUnreachable = "UNREACHABLE"
)

// Words of EndpointStatus.OutlierCheck.
const (
	CheckOK      = "OK"
	CheckFailed  = "FAILED"
	CheckProbing = "PROBING"
	CheckRamping = "RAMPING"
)

// ServiceSummary counts the places behind one service, over all its TCP ports.
type ServiceSummary struct {
	Service discovery.ServiceName `json:"service"`
	// Healthy are ready and can be used now, Ejected are taken out by the outlier check, Total are all.
	Healthy int `json:"healthy"`
	Ejected int `json:"ejected"`
	Total   int `json:"total"`
	Active  int `json:"active"`
}

// Services sums up every service, sorted by namespace and name.
func (p *Proxy) Services() []ServiceSummary {
	s := p.snapshot.Load()
	if s == nil {
		return nil
	}
	out := make([]ServiceSummary, 0, s.Services.Len())
	for name := range s.Services.All() {
		sum := ServiceSummary{Service: name}
		endpoints := p.Endpoints(name)
		for i := range endpoints {
			e := &endpoints[i]
			sum.Total++
			sum.Active += e.Active
			switch {
			case e.OutlierCheck == CheckFailed || e.OutlierCheck == CheckProbing:
				sum.Ejected++
			case e.Status == StatusHealthy:
				sum.Healthy++
			}
		}
		out = append(out, sum)
	}
	slices.SortFunc(out, func(a, b ServiceSummary) int { return a.Service.Compare(b.Service) })
	return out
}

// Endpoints are the places behind a service, sorted by port, then nearest first for a caller in the proxy's own zone. It is
// nil when there is no such service.
func (p *Proxy) Endpoints(service discovery.ServiceName) []EndpointStatus {
	s := p.snapshot.Load()
	if s == nil {
		return nil
	}
	svc := s.Services.Get(service)
	if svc == nil {
		return nil
	}
	out := []EndpointStatus{}
	for port := range portsOf(svc) {
		g := p.table.group(portKey{service: service, port: port})
		if g == nil {
			continue
		}
		set := g.policy()
		for _, e := range svc.Endpoints[port] {
			st := EndpointStatus{
				Address: e.Address.String(), Cluster: p.cfg.Cluster, Port: port, Region: e.Locality.Region, Zone: e.Locality.Zone,
				Level: localRank(p.cfg.Locality, e.Locality, &set).level, Status: StatusHealthy,
			}
			switch {
			case e.Terminating:
				st.Status = StatusTerminating
			case !e.Ready:
				st.Status = StatusNotReady
			}
			out = append(out, st.checked(g, targetKey{address: e.Address}))
		}
		for i := range svc.Peers {
			if st, ok := p.peerStatus(&svc.Peers[i], port, &set); ok {
				out = append(out, st.checked(g, targetKey{peer: svc.Peers[i].Peer}))
			}
		}
	}
	slices.SortFunc(out, func(a, b EndpointStatus) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Level, b.Level), strings.Compare(a.Address, b.Address))
	})
	return out
}

func (p *Proxy) peerStatus(e *discovery.PeerExport, port uint16, set *settings) (EndpointStatus, bool) {
	exports := slices.ContainsFunc(e.Ports, func(sp discovery.ServicePort) bool { return sp.Port == port && isTCP(sp) })
	if !exports {
		return EndpointStatus{}, false
	}
	state := p.cfg.Tunnels.State(e.Peer)
	n, terminating := servingAt(e, port)
	at, where := peerRank(p.cfg.Locality, e, port, terminating, set, state.RTT)
	st := EndpointStatus{
		Address: e.Peer, Cluster: e.Peer, Port: port, Region: where.Region, Zone: where.Zone,
		Level: at.level, Status: StatusHealthy, RTT: state.RTT,
	}
	switch {
	case !state.Usable:
		st.Status = StatusUnreachable
	case n == 0:
		st.Status = StatusNotReady
	case terminating:
		st.Status = StatusTerminating
	}
	if n == 0 {
		st.Level = levelFar // where it would be is not told
	}
	return st, true
}

// checked fills in what the outlier check says.
func (st EndpointStatus) checked(g *group, k targetKey) EndpointStatus {
	t, h := g.health(k, time.Now())
	st.EjectedFor = h.left
	switch h.state {
	case stateEjected:
		st.OutlierCheck = CheckFailed
	case stateProbing:
		st.OutlierCheck = CheckProbing
	case stateRamping:
		st.OutlierCheck = CheckRamping
	default:
		st.OutlierCheck = CheckOK
	}
	if t != nil {
		st.Active = int(t.active.Load())
	}
	return st
}
