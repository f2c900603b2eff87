package failover

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/internal/status"
)

// Explain predicts where calls of the own cluster to a service go, and why, for each port. It is nil when there is no such service; the
// error is one of the query, or of ctx: a prediction may take a second for each port.
func (p *Proxy) Explain(ctx context.Context, q status.Query) ([]status.Explanation, error) {
	name := discovery.ServiceName{Namespace: q.Namespace, Name: q.Name}
	s := p.table.Snapshot()
	if s == nil || s.Services.Get(name) == nil {
		return nil, nil
	}
	svc := s.Services.Get(name)
	ports, err := portsOf(svc, q.Port)
	if err != nil {
		return nil, err
	}
	caller := balance.Caller{Cluster: p.cfg.Cluster, Locality: p.cfg.Locality}
	if q.Source != "" {
		source, err := netip.ParseAddr(q.Source)
		if err != nil {
			return nil, fmt.Errorf("source %q is not an IP address", q.Source)
		}
		caller.Address, caller.Locality = netip.AddrPortFrom(source.Unmap(), 1).String(), p.table.Locate(source.Unmap())
	}
	note := ""
	if q.From != "" {
		caller.Locality = localityOf(svc, q.From, p.cfg.Locality)
		if !isPlace(localities(s, p.cfg.Locality), caller.Locality) {
			note = fmt.Sprintf("Nothing is in %s, here or at a connected peer: check how it is spelled.", caller.Locality)
		}
	}
	var request *http.Request
	if len(q.Request) > 0 {
		if request, err = requests.ReadHead(q.Request); err != nil {
			return nil, err
		}
	}
	out := []status.Explanation{}
	for _, port := range ports {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("explain %s: %w", name, err)
		}
		if e, ok := p.explain(balance.Key{Service: name, Port: port}, caller, request); ok {
			e.Note = note
			out = append(out, e)
		}
	}
	return out, nil
}

// portsOf are the TCP ports of a service, or the only one that is wanted; 0: all.
func portsOf(svc *discovery.Service, only uint16) ([]uint16, error) {
	ports := slices.Sorted(maps.Keys(balance.Ports(svc)))
	switch {
	case only == 0:
		return ports, nil
	case !slices.Contains(ports, only):
		return nil, &status.NoPortError{Service: svc.Name.String(), Port: only, Ports: ports}
	}
	return []uint16{only}, nil
}

// explain explains one port; request may be nil.
func (p *Proxy) explain(k balance.Key, c balance.Caller, request *http.Request) (status.Explanation, bool) {
	q, rule := balance.Query{Key: k, Caller: c}, ""
	if q.Caller.HTTP = p.table.HTTP(k); q.Caller.HTTP && request != nil {
		policy := p.table.Requests(k)
		q.Caller.Affinity, q.AnyKey = requests.KeyOf(request, &policy.HashKey)
		rule = requests.Rule(request, policy)
	}
	e, ok := p.table.Explain(q)
	e.Request = rule
	return e, ok
}

// localityOf is REGION/ZONE, or ZONE: in the region where the service has that zone, else in that of the proxy.
func localityOf(svc *discovery.Service, from string, own discovery.Locality) discovery.Locality {
	region, zone, ok := strings.Cut(from, "/")
	if ok {
		return discovery.Locality{Region: region, Zone: zone}
	}
	if from == own.Zone {
		return own
	}
	for _, endpoints := range svc.Endpoints {
		for i := range endpoints {
			if endpoints[i].Locality.Zone == from {
				return endpoints[i].Locality
			}
		}
	}
	for i := range svc.Peers {
		for _, r := range svc.Peers[i].Readiness {
			if r.Locality.Zone == from {
				return r.Locality
			}
		}
	}
	return discovery.Locality{Region: own.Region, Zone: from}
}
