package balance

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
)

// Values of EndpointStatus.Status.
const (
	StatusHealthy     = "HEALTHY"
	StatusNotReady    = "NOT_READY"
	StatusTerminating = "TERMINATING" // not ready any more, but serving: used when nothing is ready anywhere
	StatusUnreachable = "UNREACHABLE"
)

// Values of EndpointStatus.OutlierCheck.
const (
	CheckOK      = "OK"
	CheckFailed  = "FAILED"
	CheckProbing = "PROBING"
	CheckRamping = "RAMPING"
)

// EndpointStatus is one row of `eastway endpoints SERVICE`.
type EndpointStatus struct {
	// Address is IP:PORT for a local endpoint, the peer's name for a peer.
	Address string `json:"address"`
	Cluster string `json:"cluster"`
	Port    uint16 `json:"port"` // the service port
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	// Level is the order for a caller in the proxy's own zone: 0 own zone, 1 own region (and cluster),
	// 2 near peers, 3 peers in other regions.
	Level int `json:"level"`
	// Status is HEALTHY, NOT_READY, TERMINATING (not ready but serving, used when nothing is ready anywhere) or UNREACHABLE (a peer
	// without a usable lane).
	Status string `json:"status"`
	// OutlierCheck is OK, FAILED (ejected), PROBING or RAMPING.
	OutlierCheck string `json:"outlierCheck"`
	// EjectedFor is the time left, when ejected.
	EjectedFor time.Duration `json:"ejectedForNanos,omitempty"`
	Active     int           `json:"active"`
	RTT        time.Duration `json:"rttNanos,omitempty"`
}

// Endpoints are the places behind a service, sorted by port, then nearest first for a caller in the proxy's own zone. It is
// nil when there is no such service.
func (tb *Table) Endpoints(service discovery.ServiceName) []EndpointStatus {
	s := tb.snapshot.Load()
	if s == nil {
		return nil
	}
	svc := s.Services.Get(service)
	if svc == nil {
		return nil
	}
	out := []EndpointStatus{}
	for port := range portsOf(svc) {
		g := tb.group(Key{Service: service, Port: port})
		if g == nil {
			continue
		}
		p := g.policyNow()
		for _, e := range svc.Endpoints[port] {
			st := EndpointStatus{
				Address: e.Address.String(), Cluster: tb.cfg.Cluster, Port: port, Region: e.Locality.Region, Zone: e.Locality.Zone,
				Level: localRank(tb.cfg.Locality, e.Locality, &p).level, Status: StatusHealthy,
			}
			switch {
			case e.Terminating:
				st.Status = StatusTerminating
			case !e.Ready:
				st.Status = StatusNotReady
			}
			out = append(out, st.checked(g, Address{Endpoint: e.Address}))
		}
		for i := range svc.Peers {
			if st, ok := tb.peerStatus(&svc.Peers[i], port, &p); ok {
				out = append(out, st.checked(g, Address{Peer: svc.Peers[i].Peer}))
			}
		}
	}
	slices.SortFunc(out, func(a, b EndpointStatus) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Level, b.Level), strings.Compare(a.Address, b.Address))
	})
	return out
}

func (tb *Table) peerStatus(e *discovery.PeerExport, port uint16, p *policy) (EndpointStatus, bool) {
	exports := slices.ContainsFunc(e.Ports, func(sp discovery.ServicePort) bool { return sp.Port == port && IsTCP(sp) })
	if !exports {
		return EndpointStatus{}, false
	}
	state := tb.cfg.Peers.State(e.Peer)
	n, terminating := servingAt(e, port)
	at, where := peerRank(tb.cfg.Locality, e, port, terminating, p, state.RTT)
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
		st.Level = levelFar // where it would be is not known
	}
	return st, true
}

// checked fills in the outlier check.
func (st EndpointStatus) checked(g *group, a Address) EndpointStatus {
	t, h := g.health(a, time.Now())
	st.EjectedFor = h.Left
	switch h.State {
	case Ejected:
		st.OutlierCheck = CheckFailed
	case Probing:
		st.OutlierCheck = CheckProbing
	case Ramping:
		st.OutlierCheck = CheckRamping
	default:
		st.OutlierCheck = CheckOK
	}
	if t != nil {
		st.Active = int(t.active.Load())
	}
	return st
}
