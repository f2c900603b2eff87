package route

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Endpoints are the addresses behind a headless Service, host:port each, which take turns.
type Endpoints struct {
	addresses []string
	turn      atomic.Uint32
}

// Order is whom to call: the endpoint whose turn it is, and those after it, so many at most. It is empty if there are none.
func (e *Endpoints) Order(most int) []string {
	n := len(e.addresses)
	if n == 0 {
		return nil
	}
	at := int(e.turn.Add(1)-1) % n
	out := make([]string, 0, min(n, most))
	for i := range min(n, most) {
		out = append(out, e.addresses[(at+i)%n])
	}
	return out
}

// endpointPort is a port of a Service.
type endpointPort struct {
	service types.NamespacedName
	port    int32
}

// headless are the endpoints of headless Services.
type headless struct {
	slices map[types.NamespacedName][]*discoveryv1.EndpointSlice // by Service
	ports  map[endpointPort]*Endpoints
}

// endpoints of a headless Service's port. All routes share them, and so the turns.
func (h *headless) endpoints(s *corev1.Service, p port) *Endpoints {
	key := endpointPort{nameOf(s), p.number}
	out := h.ports[key]
	if out == nil {
		out = &Endpoints{addresses: endpointsOf(s, p.name, h.slices[key.service])}
		h.ports[key] = out
	}
	return out
}

// slicesByService are EndpointSlices by the Service that their label names.
func slicesByService(all []*discoveryv1.EndpointSlice) map[types.NamespacedName][]*discoveryv1.EndpointSlice {
	out := make(map[types.NamespacedName][]*discoveryv1.EndpointSlice)
	for _, s := range all {
		name := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		out[name] = append(out[name], s)
	}
	return out
}

// endpointsOf are those that are ready, and without any those that still serve while they terminate; of the Service's first address family,
// and without any of that of the other.
func endpointsOf(s *corev1.Service, portName string, of []*discoveryv1.EndpointSlice) []string {
	families := []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6}
	if len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol {
		slices.Reverse(families)
	}
	for _, fits := range []func(*discoveryv1.EndpointConditions) bool{isReady, isServing} {
		for _, family := range families {
			if out := addressesOf(family, portName, of, fits); len(out) > 0 {
				return out
			}
		}
	}
	return nil
}

func isReady(c *discoveryv1.EndpointConditions) bool { return c.Ready == nil || *c.Ready }

func isServing(c *discoveryv1.EndpointConditions) bool { return c.Serving != nil && *c.Serving }

// addressesOf are the addresses of one family, sorted, each once. The first maxEndpoints are used.
func addressesOf(
	family discoveryv1.AddressType, portName string, of []*discoveryv1.EndpointSlice, fits func(*discoveryv1.EndpointConditions) bool,
) []string {
	var out []string
	for _, s := range of {
		number := slicePort(s, portName)
		if s.AddressType != family || number == 0 {
			continue
		}
		for i := range s.Endpoints {
			e := &s.Endpoints[i]
			if len(e.Addresses) == 0 || !fits(&e.Conditions) {
				continue
			}
			// API servers take one address for each endpoint.
			addr, err := netip.ParseAddr(e.Addresses[0])
			addr = addr.Unmap()
			if err != nil || !callable(addr) {
				continue
			}
			out = append(out, net.JoinHostPort(addr.String(), strconv.Itoa(number)))
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxEndpoints)]
}

// callable: an address that an object may name, in its canonical form. Others are none of an endpoint, or where clouds give out credentials.
func callable(addr netip.Addr) bool {
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case !addr.IsValid(), addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(), addr.Zone() != "":
		return false
	case addr.Is4() && (addr.As4()[0] == 0 || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255})):
		return false
	}
	return addr != netip.MustParseAddr("fd00:ec2::254")
}

// slicePort is the number of a port of TCP; 0: there is none of the name.
func slicePort(s *discoveryv1.EndpointSlice, name string) int {
	for i := range s.Ports {
		p := &s.Ports[i]
		named := p.Name != nil && *p.Name == name || p.Name == nil && name == ""
		tcp := p.Protocol == nil || *p.Protocol == "" || *p.Protocol == corev1.ProtocolTCP
		if named && tcp && p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
			return int(*p.Port)
		}
	}
	return 0
}
