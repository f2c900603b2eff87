package takeover

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"net/netip"
	"slices"

	"github.com/eastway/eastway/internal/takeover/nft"
)

// Health is what the last probes told of a proxy.
type Health struct {
	Alive  bool
	Report Report // of the last probe that succeeded
}

// ServiceStatus is what becomes of one Service on this node. It is the JSON of /takeovers.
type ServiceStatus struct {
	Service string `json:"service"`
	// Carries is the imported service, NAMESPACE/NAME, for which the controller made Service; empty: it is taken over itself.
	Carries   string       `json:"carries,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Refused says why the Service can't be taken over at all.
	Refused string       `json:"refused,omitempty"`
	Ports   []PortStatus `json:"ports,omitempty"`
}

// PortStatus is what becomes of one port under one of the cluster IPs.
type PortStatus struct {
	Address string `json:"address,omitempty"` // cluster IP and port
	Port    string `json:"port"`              // PORT/PROTOCOL
	// Proxies get its calls, at those addresses and ports, in equal shares.
	Proxies []netip.AddrPort `json:"proxies,omitempty"`
	// Distance of the proxies: node, zone, region or cluster.
	Distance string `json:"distance,omitempty"`
	// Reason says why kube-proxy serves it instead; "" if proxies do.
	Reason string `json:"reason,omitempty"`
}

// Plan is a decision: what the tables shall say, and what to tell about it.
type Plan struct {
	Rules    []nft.Service
	Services []ServiceStatus
	// Used are the proxies in Rules.
	Used map[netip.Addr]bool
}

// Decide sends each port of each taken-over Service to the nearest live proxies that listen for it.
func Decide(inv *Inventory, health map[netip.Addr]Health) Plan {
	d := decision{
		all: inv.Proxies, near: byDistance(inv, health), seen: map[netip.AddrPort]bool{}, plan: Plan{Used: map[netip.Addr]bool{}},
	}
	for i := range inv.Services {
		d.service(&inv.Services[i])
	}
	return d.plan
}

// candidate is a live proxy.
type candidate struct {
	address  netip.Addr
	distance distance
	report   *Report
}

// byDistance orders the live proxies: ready ones first, since those that are not are starting or leaving and only used when
// there is nobody else; then from near to far.
func byDistance(inv *Inventory, health map[netip.Addr]Health) []candidate {
	var out []candidate
	for i := range inv.Proxies {
		p := &inv.Proxies[i]
		if h := health[p.Address]; h.Alive {
			out = append(out, candidate{address: p.Address, distance: inv.Self.distanceTo(p.Locality), report: &h.Report})
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		if a.report.Ready != b.report.Ready {
			if a.report.Ready {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.distance, b.distance), preference(inv.Self.Node, a.address, b.address))
	})
	return out
}

// preference orders equally near proxies in another way on each node, always the same there: so each is used by some nodes,
// and what leaves or joins changes little (rendezvous hashing).
func preference(node string, a, b netip.Addr) int {
	return cmp.Or(cmp.Compare(weight(node, a), weight(node, b)), a.Compare(b))
}

// weight is FNV-1a of node and address, mixed once more because FNV is too much alike for neighbors.
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
	status := ServiceStatus{Service: s.Name, Carries: s.Carries, Addresses: s.Addresses, Refused: s.Refused}
	if s.Refused == "" {
		for _, p := range s.Ports {
			if p.Protocol != "TCP" {
				status.Ports = append(status.Ports, PortStatus{Port: portName(p), Reason: "only TCP is taken over"})
				continue
			}
			for _, a := range s.Addresses {
				status.Ports = append(status.Ports, d.port(s, p, netip.AddrPortFrom(a, p.Port)))
			}
		}
	}
	d.plan.Services = append(d.plan.Services, status)
}

func (d *decision) port(s *Service, p Port, address netip.AddrPort) PortStatus {
	status := PortStatus{Address: address.String(), Port: portName(p)}
	proxies, far, why := d.proxies(cmp.Or(s.Carries, s.Name), p.Target, address.Addr())
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

// proxies are the nearest ones of the address's family that listen for the service on that port: all at the same distance,
// all ready or none, and at most usedProxies. A proxy that has the port for another service (after the controller gave it away) is not among them.
func (d *decision) proxies(service string, port uint16, address netip.Addr) (out []netip.Addr, far distance, why string) {
	why = "no proxy is alive"
	var first *candidate
	for i := range d.near {
		c := &d.near[i]
		if c.address.Is4() != address.Is4() {
			continue
		}
		if c.report.Listeners[port] != service {
			if first == nil {
				why = fmt.Sprintf("no live proxy listens for it on port %d", port)
			}
			continue
		}
		if first == nil {
			first = c
		}
		if c.report.Ready != first.report.Ready || c.distance != first.distance || len(out) == usedProxies {
			break
		}
		out = append(out, c.address)
	}
	if first == nil {
		sameFamily := func(p Proxy) bool { return p.Address.Is4() == address.Is4() }
		if len(d.all) > 0 && !slices.ContainsFunc(d.all, sameFamily) {
			why = fmt.Sprintf("no proxy has an address of the same IP family as %s: does the proxies' Service have that one?", address)
		}
		return nil, 0, why
	}
	return out, first.distance, ""
}
