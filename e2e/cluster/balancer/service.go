package main

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// service is a Service of type LoadBalancer.
type service struct {
	namespace, title string
	created          time.Time
	// told is the address in its status, the zero value for none.
	told netip.Addr
	// address that it has now; the zero value when there are none left.
	address netip.Addr
	ports   []port
	// healthPort says whether a node has a ready pod; 0: it does not matter.
	healthPort int
	lag        time.Duration
	pickFirst  bool
}

func (s service) name() string { return s.namespace + "/" + s.title }

// port of a service.
type port struct {
	protocol   string // "tcp" or "udp"
	port, node int
}

// node of the cluster.
type node struct {
	name    string
	address netip.Addr
}

// assign an address to each service: the one in its status if that is one of
// ours and no older service has it, else the first free one.
func assign(services []service, first, last netip.Addr) []service {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b service) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name(), b.name()))
	})
	taken := make(map[netip.Addr]bool)
	for i := range services {
		s := &services[i]
		if told := s.told; told.IsValid() && !told.Less(first) && !last.Less(told) && !taken[told] {
			s.address = told
			taken[told] = true
		}
	}
	next := first
	for i := range services {
		s := &services[i]
		for !s.address.IsValid() && !last.Less(next) {
			if !taken[next] {
				s.address = next
				taken[next] = true
			}
			next = next.Next()
		}
	}
	return services
}

// forward is where the load balancer of one service port sends connections.
type forward struct {
	address  netip.Addr
	protocol string
	port     int
	nodes    []netip.Addr // none: connections are refused
	nodePort int
}

// forwards of all services to the nodes that are healthy.
func forwards(services []service, nodes []node, h *health) []forward {
	var all []forward
	for _, s := range services {
		if !s.address.IsValid() {
			continue
		}
		var healthy []netip.Addr
		for _, n := range nodes {
			if h.healthy(s.check(n)) {
				healthy = append(healthy, n.address)
			}
		}
		slices.SortFunc(healthy, netip.Addr.Compare)
		if s.pickFirst && len(healthy) > 1 {
			healthy = healthy[:1]
		}
		for _, p := range s.ports {
			all = append(all, forward{address: s.address, protocol: p.protocol, port: p.port, nodes: healthy, nodePort: p.node})
		}
	}
	return all
}
