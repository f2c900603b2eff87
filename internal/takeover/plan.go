package takeover

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"slices"

	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// Plan is what the tables must hold, and what to report about it.
type Plan struct {
	Rules    []nft.Service
	Services []report.ServiceStatus
	// Used are the proxies in Rules.
	Used map[netip.Addr]bool
}

// Decide sends each port of each taken-over Service to the nearest live proxies that listen for it.
func Decide(inv *Inventory, health map[netip.Addr]Health) Plan {
	d := decision{
		all: inv.Proxies, near: candidates(inv, health), seen: map[netip.AddrPort]bool{}, plan: Plan{Used: map[netip.Addr]bool{}},
	}
	for i := range inv.Services {
		d.service(&inv.Services[i])
	}
	return d.plan
}

// candidate is a proxy that is not dead.
type candidate struct {
	address  netip.Addr
	rank     int
	distance distance
	report   *Report
}

// candidates are the proxies by rank, then from near to far.
func candidates(inv *Inventory, health map[netip.Addr]Health) []candidate {
	var out []candidate
	for i := range inv.Proxies {
		p := &inv.Proxies[i]
		if h := health[p.Address]; h.State != Dead {
			out = append(out, candidate{
				address: p.Address, rank: h.rank(), distance: distanceOf(&inv.Self, &p.Locality), report: &h.Report,
			})
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.distance, b.distance), preference(inv.Self.Node, a.address, b.address))
	})
	return out
}

// preference orders equally near proxies differently on each node, by rendezvous hashing: each proxy is used by some nodes, and
// one that leaves or joins changes little.
func preference(node string, a, b netip.Addr) int {
	return cmp.Or(cmp.Compare(weight(node, a), weight(node, b)), a.Compare(b))
}

// weight is FNV-1a of node and address, with a final mix: FNV-1a differs too little between neighboring addresses.
func weight(node string, a netip.Addr) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, node) // never fails
	b := a.As16()
	_, _ = h.Write(b[:])
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// decision is a Plan in the making.
type decision struct {
	all  []Proxy
	near []candidate
	seen map[netip.AddrPort]bool
	plan Plan
}

func (d *decision) service(s *Service) {
	status := report.ServiceStatus{Service: s.Name, Carries: s.Carries, Addresses: s.Addresses, Refused: s.Refused}
	if s.Refused == "" {
		for _, p := range s.Ports {
			if p.Protocol != "TCP" {
				status.Ports = append(status.Ports, report.PortStatus{Port: portName(p), Reason: "only TCP is taken over"})
				continue
			}
			for _, a := range s.Addresses {
				status.Ports = append(status.Ports, d.port(s, p, netip.AddrPortFrom(a, p.Port)))
			}
		}
	}
	d.plan.Services = append(d.plan.Services, status)
}

func (d *decision) port(s *Service, p Port, address netip.AddrPort) report.PortStatus {
	status := report.PortStatus{Address: address.String(), Port: portName(p)}
	proxies, far, why := d.proxies(s, p.Target, address.Addr())
	switch {
	case s.Waiting:
		status.Reason = "the controller has not given it ports on the proxies yet"
	case p.Target == 0:
		status.Reason = "the controller has not given this port one on the proxies yet"
	case why != "":
		status.Reason = why
	case d.seen[address]:
		status.Reason = "another Service has this address"
	case len(d.plan.Rules) >= nft.MaxServices:
		status.Reason = fmt.Sprintf("there are more than %d taken-over ports", nft.MaxServices)
	default:
		d.seen[address] = true
		d.plan.Rules = append(d.plan.Rules, nft.Service{Address: address, Port: p.Target, Proxies: proxies, Affinity: s.Affinity})
		status.Distance = far.String()
		for _, a := range proxies {
			status.Proxies = append(status.Proxies, netip.AddrPortFrom(a, p.Target))
			d.plan.Used[a] = true
		}
	}
	return status
}

// proxies are the best ones of the address's family that listen for the service on that port: all of the same rank and distance,
// and at most usedProxies. A proxy that has the port for another service, after the controller reassigned it, is not among them.
// Silent ones are where kube-proxy has nothing that could answer.
func (d *decision) proxies(s *Service, port uint16, address netip.Addr) (out []netip.Addr, far distance, why string) {
	service := cmp.Or(s.Carries, s.Name)
	why = "no proxy is alive"
	var first *candidate
	for i := range d.near {
		c := &d.near[i]
		if c.address.Is4() != address.Is4() || c.rank == silentRank && !s.Alone {
			continue
		}
		if c.report.Listeners[port] != service {
			if c.rank < suspectRank {
				why = fmt.Sprintf("no live proxy listens for it on port %d: nothing can serve it, or the proxy has just started", port)
			}
			continue
		}
		if first == nil {
			first = c
		}
		if c.rank != first.rank || c.distance != first.distance || len(out) == usedProxies {
			break
		}
		out = append(out, c.address)
	}
	if first != nil {
		return out, first.distance, ""
	}
	sameFamily := func(p Proxy) bool { return p.Address.Is4() == address.Is4() }
	if len(d.all) > 0 && !slices.ContainsFunc(d.all, sameFamily) {
		why = fmt.Sprintf("no proxy has an address of the same IP family as %s: does the proxies' Service have that one?", address)
	}
	return nil, 0, why
}
