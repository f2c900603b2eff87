package mcs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// PortRange is an inclusive range of port numbers.
type PortRange struct{ First, Last uint16 }

func (r PortRange) size() int { return int(r.Last) - int(r.First) + 1 }

func (r PortRange) has(n uint16) bool { return n >= r.First && n <= r.Last }

// errNoPorts: every listener port is taken.
var errNoPorts = errors.New("no listener port is left: widen --listener-ports, or take back exports or takeovers")

// servicePort is a port of a service by what makes it unique.
type servicePort struct {
	protocol string
	port     uint16
}

// slot is a port that proxies listen on. What is not TCP has numbers of its own: nothing listens there yet.
type slot struct {
	protocol string
	number   uint16
}

// Ports gives out the proxies' listener ports, each to one port of one derived Service. The Services themselves remember
// them; Ports knows what is taken between a write and the moment when the cache shows it.
type Ports struct {
	within PortRange
	used   *prometheus.GaugeVec

	mu     sync.Mutex
	owners map[slot]string // the derived Service's name
	held   map[string]map[servicePort]uint16
	next   map[string]uint16 // by protocol, where the search begins: numbers that are given back rest as long as possible
	taken  map[string]int    // by protocol, numbers of the range that have an owner: services without a port retry
}

// NewPorts registers its metrics on reg unless that is nil.
func NewPorts(within PortRange, reg prometheus.Registerer) (*Ports, error) {
	p := &Ports{
		within: within, next: map[string]uint16{}, taken: map[string]int{},
		owners: map[slot]string{}, held: map[string]map[servicePort]uint16{},
		used: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "eastway_controller_listener_ports_used",
			Help: "Listener ports assigned to services, by protocol.",
		}, []string{"protocol"}),
	}
	free := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "eastway_controller_listener_ports",
		Help: "Listener ports available for each protocol (--listener-ports).",
	}, func() float64 { return float64(within.size()) })
	if reg != nil {
		for _, c := range []prometheus.Collector{p.used, free} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("mcs: register metrics: %w", err)
			}
		}
	}
	return p, nil
}

// Load learns the ports of all derived Services from the API server itself: a cache may lag behind what the leader before us wrote.
// Where two have the same port, the older one keeps it.
func (p *Ports) Load(ctx context.Context, r client.Reader, namespace string) error {
	var list corev1.ServiceList
	if err := r.List(ctx, &list, client.InNamespace(namespace), client.HasLabels{v1alpha1.DerivedLabel}); err != nil {
		return fmt.Errorf("list the derived Services in %s: %w", namespace, err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Service) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.owners)
	clear(p.held)
	clear(p.taken)
	p.used.Reset()
	for i := range list.Items {
		for port, number := range targetPorts(&list.Items[i]) {
			p.take(list.Items[i].Name, port, number)
		}
	}
	return nil
}

// assign returns a listener port for each port of the derived Service. Those that it has in the object stay, also outside the
// range, unless another one holds them.
func (p *Ports) assign(name string, wanted []discovery.ServicePort, object *corev1.Service) (map[servicePort]uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept map[servicePort]uint16
	if object != nil {
		kept = targetPorts(object)
	}
	out := make(map[servicePort]uint16, len(wanted))
	for _, w := range wanted {
		port := servicePort{w.Protocol, w.Port}
		n, ok := p.held[name][port]
		if !ok {
			n, ok = kept[port]
			ok = ok && p.take(name, port, n)
		}
		if !ok {
			if n, ok = p.search(name, port); !ok {
				return nil, fmt.Errorf("%w (%d-%d)", errNoPorts, p.within.First, p.within.Last)
			}
		}
		out[port] = n
	}
	return out, nil
}

// release gives back what the derived Service holds beside these; nil: everything.
func (p *Ports) release(name string, keep map[servicePort]uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, number := range p.held[name] {
		if _, ok := keep[port]; !ok {
			delete(p.owners, slot{port.protocol, number})
			delete(p.held[name], port)
			p.used.WithLabelValues(port.protocol).Dec()
			if p.within.has(number) {
				p.taken[port.protocol]--
			}
		}
	}
	if len(p.held[name]) == 0 {
		delete(p.held, name)
	}
}

// take is false when the number is taken. p.mu is held.
func (p *Ports) take(name string, port servicePort, number uint16) bool {
	at := slot{port.protocol, number}
	if _, taken := p.owners[at]; taken || number == 0 {
		return false
	}
	if p.held[name] == nil {
		p.held[name] = map[servicePort]uint16{}
	}
	if _, has := p.held[name][port]; has {
		return false
	}
	p.owners[at] = name
	p.held[name][port] = number
	p.used.WithLabelValues(port.protocol).Inc()
	if p.within.has(number) {
		p.taken[port.protocol]++
	}
	if number >= p.next[port.protocol] && number < p.within.Last {
		p.next[port.protocol] = number + 1
	}
	return true
}

// search takes the next free number. p.mu is held.
func (p *Ports) search(name string, port servicePort) (uint16, bool) {
	if p.taken[port.protocol] == p.within.size() {
		return 0, false
	}
	n := p.next[port.protocol]
	for range p.within.size() {
		if !p.within.has(n) {
			n = p.within.First
		}
		if p.take(name, port, n) {
			p.next[port.protocol] = n + 1
			return n, true
		}
		n++
	}
	return 0, false
}

// targetPorts are the listener ports that a derived Service remembers.
func targetPorts(s *corev1.Service) map[servicePort]uint16 {
	out := make(map[servicePort]uint16, len(s.Spec.Ports))
	for _, p := range s.Spec.Ports {
		if n := number(p.TargetPort.IntVal); n > 0 {
			out[servicePort{string(p.Protocol), number(p.Port)}] = n
		}
	}
	return out
}
