package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
)

// loops are the addresses that lead to the proxies of this cluster: cluster IPs of derived Services and of Services that are taken over, and
// the proxies' own. As endpoints they would make calls loop.
type loops struct {
	guard   *discovery.Guard
	of      map[name][]netip.AddrPort
	owner   map[netip.AddrPort]name
	proxies []netip.Addr // sorted
}

func newLoops(g *discovery.Guard) loops {
	return loops{guard: g, of: map[name][]netip.AddrPort{}, owner: map[netip.AddrPort]name{}}
}

// refuse is why an address may be no endpoint; empty if it may.
func (l *loops) refuse(endpoint netip.AddrPort) string {
	if r := l.guard.Check(endpoint); r != "" {
		return r.Text()
	}
	at := netip.AddrPortFrom(endpoint.Addr().Unmap(), endpoint.Port())
	if owner, ok := l.owner[at]; ok {
		return "is an address of Service " + owner.String() + " and " + discovery.RefusedLoop.Text()
	}
	if _, ok := slices.BinarySearchFunc(l.proxies, at.Addr(), netip.Addr.Compare); ok {
		return "is a proxy of this cluster and " + discovery.RefusedLoop.Text()
	}
	return ""
}

// set replaces what a service has, and adds to touched the addresses that it has no longer, or has newly.
func (l *loops) set(at name, is []netip.AddrPort, touched map[netip.Addr]struct{}) {
	was := l.of[at]
	if slices.Equal(was, is) {
		return
	}
	for _, a := range was {
		if l.owner[a] == at {
			delete(l.owner, a)
		}
		touched[a.Addr()] = struct{}{}
	}
	for _, a := range is {
		l.owner[a] = at
		touched[a.Addr()] = struct{}{}
	}
	if l.of[at] = is; len(is) == 0 {
		delete(l.of, at)
	}
}

// leading are the addresses of a service that lead to the proxies, sorted.
func (w *world) leading(at name) []netip.AddrPort {
	var out []netip.AddrPort
	add := func(s *corev1.Service) {
		for _, ip := range translate.ClusterIPs(s) {
			for i := range s.Spec.Ports {
				if p := &s.Spec.Ports[i]; ip.Err == nil && (p.Protocol == corev1.ProtocolTCP || p.Protocol == "") {
					out = append(out, netip.AddrPortFrom(ip.Addr, uint16(p.Port))) // validated
				}
			}
		}
	}
	own := w.services[at]
	takenOver := own != nil && own.Annotations[v1alpha1.TakeoverAnnotation] == "true"
	for _, s := range w.derived.of[at] {
		add(s)
		takenOver = takenOver || s.Labels[v1alpha1.DerivedLabel] == v1alpha1.DerivedTakeover
	}
	if own != nil && takenOver {
		add(own)
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	return slices.Compact(out)
}

// flushLoops brings the loops up to date, and makes dirty what has an endpoint at an address that now is one, or is one no longer. There
// hardly ever is such an endpoint, so that the slices are hardly ever searched.
func (w *world) flushLoops() {
	touched := map[netip.Addr]struct{}{}
	for at := range w.dirty {
		w.loops.set(at, w.leading(at), touched)
	}
	if !slices.Equal(w.loops.proxies, w.local.ProxyAddresses) {
		for _, a := range slices.Concat(w.loops.proxies, w.local.ProxyAddresses) {
			touched[a] = struct{}{}
		}
		w.loops.proxies = w.local.ProxyAddresses
	}
	for a := range touched {
		if mapped := netip.AddrFrom16(a.As16()); w.callers.seen[a] == nil && w.callers.seen[mapped] == nil {
			delete(touched, a)
		}
	}
	if len(touched) == 0 {
		return
	}
	for at, group := range w.slices {
		for _, s := range group {
			for a := range translate.Addresses(s) {
				if _, ok := touched[a.Unmap()]; ok {
					w.dirty[at] = struct{}{}
				}
			}
		}
	}
}
