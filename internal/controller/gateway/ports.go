package gateway

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

// span is an inclusive range of port numbers.
type span struct{ first, last uint16 }

// assignment is a port of the entries' processes for each port of a Gateway's listeners.
type assignment struct {
	numbers map[uint16]uint16 // by the listeners' port
	fresh   bool              // some are new
	short   []uint16          // ports of listeners for which there is none
}

// assign keeps the numbers that a Service has, and gives ports without one the next that no Service has, from a start on, round the range, while
// entries open as many. Starts that differ keep a number that was given back from the next Gateway: connections may still lead there.
func (s span) assign(ports []uint16, kept map[uint16]uint16, taken map[uint16]bool, start uint32) assignment {
	out := assignment{numbers: make(map[uint16]uint16, len(ports))}
	used := make(map[uint16]bool, len(ports))
	for _, port := range ports {
		if n, ok := kept[port]; ok && n >= s.first && n <= s.last && !used[n] {
			out.numbers[port], used[n] = n, true
		}
	}
	size := uint32(s.last-s.first) + 1
	left := route.MaxPorts - len(taken) - len(used)
	tried := uint32(0)
	for _, port := range ports {
		if _, ok := out.numbers[port]; ok {
			continue
		}
		number := func() uint16 { return s.first + uint16((start%size+tried)%size) }
		for tried < size && (taken[number()] || used[number()]) {
			tried++
		}
		if tried == size || left <= 0 {
			out.short = append(out.short, port)
			continue
		}
		out.numbers[port], out.fresh = number(), true
		tried++
		left--
	}
	return out
}

// startOf a Gateway's search for numbers.
func startOf(g *gatewayv1.Gateway) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.UID))
	return h.Sum32()
}

// remembered are the numbers that the Service of this name keeps, and those that others have. Where two have the same, the older one keeps it.
func remembered(services []corev1.Service, name string) (kept map[uint16]uint16, taken map[uint16]bool) {
	kept, taken = make(map[uint16]uint16), make(map[uint16]bool)
	at := slices.IndexFunc(services, func(s corev1.Service) bool { return s.Name == name })
	older := make(map[uint16]bool) // numbers of Services that are older
	for i := range services {
		if i == at {
			continue
		}
		for _, n := range targets(&services[i]) {
			taken[n] = true
			if at >= 0 && isOlder(&services[i], &services[at]) {
				older[n] = true
			}
		}
	}
	if at < 0 {
		return kept, taken
	}
	for port, n := range targets(&services[at]) {
		if !older[n] {
			kept[port] = n
		}
	}
	return kept, taken
}

// targets are the numbers that a Service remembers, by its ports.
func targets(s *corev1.Service) map[uint16]uint16 {
	out := make(map[uint16]uint16, len(s.Spec.Ports))
	for _, p := range s.Spec.Ports {
		if n := p.TargetPort.IntVal; n > 0 && n <= 65535 && p.Port > 0 && p.Port <= 65535 {
			out[uint16(p.Port)] = uint16(n)
		}
	}
	return out
}

func isOlder(a, b *corev1.Service) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name)) < 0
}

// served are the ports of listeners that entries can serve, each once.
func served(listeners []gatewayv1.Listener) []uint16 {
	var out []uint16
	for i := range listeners {
		l := &listeners[i]
		known := l.Protocol == gatewayv1.HTTPProtocolType || l.Protocol == gatewayv1.HTTPSProtocolType
		if known && l.Port > 0 && l.Port <= 65535 {
			out = append(out, uint16(l.Port))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
