package translate

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
)

// Endpoints are those of one service, gathered from its slices.
type Endpoints struct {
	service *discovery.Service
	places  *Places
	refuse  func(netip.AddrPort) string
	byPort  map[uint16][]endpoint
}

// endpoint with what decides over it only in the end.
type endpoint struct {
	discovery.Endpoint
	// unsure: its status is not ready, but its node is unreachable from the control plane.
	unsure bool
	pod    string // "" if it is none
}

// NewEndpoints gathers for a service as Service returns it. Addresses for which refuse returns a reason are no endpoints; nil: all may be.
func NewEndpoints(service *discovery.Service, places *Places, refuse func(netip.AddrPort) string) *Endpoints {
	if refuse == nil {
		refuse = func(netip.AddrPort) string { return "" }
	}
	return &Endpoints{service: service, places: places, refuse: refuse, byPort: map[uint16][]endpoint{}}
}

// Add the endpoints of a checked slice. The doubts are about ports that the service does not have, and so are not used; refused is about
// endpoints that are not used, nil if there are none.
func (g *Endpoints) Add(s *discoveryv1.EndpointSlice) (doubts field.ErrorList, refused *field.Error) {
	ports, doubts := g.match(s)
	own := slices.Sorted(maps.Keys(ports))
	more := 0
	for addr, e := range Addresses(s) {
		leaving := is(e.Conditions.Terminating, false)
		if leaving && !is(e.Conditions.Serving, false) {
			continue
		}
		ready := is(e.Conditions.Ready, true)
		one := endpoint{unsure: g.places.Unsure(e), Endpoint: discovery.Endpoint{
			Locality: g.places.Endpoint(s, e), Ready: ready, Terminating: leaving && !ready, Hostname: g.hostname(e, addr),
		}}
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			one.pod = e.TargetRef.Name
		}
		for _, from := range own {
			one.Address = netip.AddrPortFrom(addr, ports[from])
			switch why := g.refuse(one.Address); {
			case why == "":
				g.byPort[from] = append(g.byPort[from], one)
			case refused == nil:
				refused = InvalidField(addressOf(s, e), "%s %s: this endpoint is not used", one.Address, why)
			default:
				more++
			}
		}
	}
	if more > 0 {
		refused.Detail += fmt.Sprintf(", nor are %d more of this slice", more)
	}
	return doubts, refused
}

// addressOf is where the slice has the address of one of its endpoints.
func addressOf(s *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) *field.Path {
	i := 0
	for &s.Endpoints[i] != e {
		i++
	}
	return field.NewPath("endpoints").Index(i).Child("addresses").Index(0)
}

// Addresses of the slice's endpoints. By the API's definition all addresses of one endpoint are equivalent, so the first one is used.
func Addresses(s *discoveryv1.EndpointSlice) iter.Seq2[netip.Addr, *discoveryv1.Endpoint] {
	return func(yield func(netip.Addr, *discoveryv1.Endpoint) bool) {
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err == nil && !yield(addr, e) {
				return
			}
		}
	}
}

// is the condition, or what its absence means.
func is(condition *bool, absent bool) bool {
	if condition == nil {
		return absent
	}
	return *condition
}

// hostname of a pod of a headless service: that in its slice, else the pod's name, else one made of its address, as CoreDNS
// makes it.
func (g *Endpoints) hostname(e *discoveryv1.Endpoint, addr netip.Addr) string {
	if !g.service.Spec.Headless {
		return ""
	}
	if e.Hostname != nil && *e.Hostname != "" {
		return *e.Hostname
	}
	if e.TargetRef != nil && len(validation.IsDNS1123Label(e.TargetRef.Name)) == 0 {
		return e.TargetRef.Name
	}
	dashed := strings.NewReplacer(".", "-", ":", "-").Replace(addr.StringExpanded())
	return dashed
}

// match finds for each TCP port of the service the slice's port of the same name. UDP is not carried.
func (g *Endpoints) match(s *discoveryv1.EndpointSlice) (ports map[uint16]uint16, errs field.ErrorList) {
	ports = map[uint16]uint16{}
	if len(s.Ports) == 0 && len(s.Endpoints) > 0 && len(g.service.Ports) > 0 {
		errs = append(errs, InvalidField(field.NewPath("ports"),
			"there are none: the endpoints of this slice are not used; list the ports of Service %s, each with its name", g.service.Name))
	}
	for i, p := range s.Ports {
		name, protocol := "", discovery.TCP
		if p.Name != nil {
			name = *p.Name
		}
		if p.Protocol != nil {
			protocol = string(*p.Protocol)
		}
		found := false
		for _, sp := range g.service.Ports {
			if sp.Name == name && sp.Protocol == protocol {
				found = true
				if protocol == discovery.TCP {
					ports[sp.Port] = uint16(*p.Port) // validated
				}
			}
		}
		if !found {
			errs = append(errs, InvalidField(field.NewPath("ports").Index(i),
				"Service %s has no %s port named %q: this port is not used", g.service.Name, protocol, name))
		}
	}
	return ports, errs
}

// ByPort are the endpoints by service port, sorted by address, each once; one that two slices have is ready if it is in either.
// A pod with addresses of two families is one endpoint, at that of the Service's first family.
// Where none is ready, those count that are on nodes with which the control plane has lost touch: after an outage of the API
// server it takes all nodes' pods for dead for a while.
func (g *Endpoints) ByPort() map[uint16][]discovery.Endpoint {
	out := make(map[uint16][]discovery.Endpoint, len(g.byPort))
	for port, all := range g.byPort {
		slices.SortStableFunc(all, func(a, b endpoint) int {
			return cmp.Or(a.Address.Compare(b.Address), a.better(b))
		})
		all = slices.CompactFunc(all, func(a, b endpoint) bool { return a.Address == b.Address })
		all = g.onePerPod(all)
		ready := slices.ContainsFunc(all, func(e endpoint) bool { return e.Ready })
		list := make([]discovery.Endpoint, 0, len(all))
		for _, e := range all {
			if e.unsure && !ready {
				e.Ready, e.Terminating = true, false
			}
			list = append(list, e.Endpoint)
		}
		out[port] = list
	}
	return out
}

// onePerPod keeps one of the addresses that a pod has for a port. While its slices differ, that is the one which is ready.
func (g *Endpoints) onePerPod(all []endpoint) []endpoint {
	if len(all) == 0 || all[0].Address.Addr().Is6() == all[len(all)-1].Address.Addr().Is6() {
		return all // sorted, so all of one family
	}
	primary := func(e endpoint) bool {
		six := len(g.service.Spec.IPFamilies) > 0 && g.service.Spec.IPFamilies[0] == "IPv6"
		return e.Address.Addr().Is6() == six
	}
	kept := make(map[string]netip.AddrPort, len(all))
	pods := slices.SortedStableFunc(slices.Values(all), func(a, b endpoint) int {
		return cmp.Or(a.better(b), first(primary(a), primary(b)))
	})
	for _, e := range pods {
		if _, ok := kept[e.pod]; !ok {
			kept[e.pod] = e.Address
		}
	}
	return slices.DeleteFunc(all, func(e endpoint) bool { return e.pod != "" && kept[e.pod] != e.Address })
}

// better orders what rather takes connections before what does not.
func (a endpoint) better(b endpoint) int {
	return cmp.Or(first(a.Ready, b.Ready), first(a.unsure, b.unsure), first(a.Terminating, b.Terminating))
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
