package route

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// checkTogether finds listeners that cannot be distinguished, and TLS configurations that overlap. Gateways come in order. Of two Gateways, the
// first one keeps what it has: a new one takes nothing from it. In one Gateway, no listener of a conflict is used: which of them was
// meant is not known. Listeners that cannot be used take part in no conflict.
func checkTogether(gateways []*gateway) {
	byPort := make(map[uint16][]*listener)
	for _, g := range gateways {
		var left []*listener
		for _, l := range g.listeners {
			if !l.usable() {
				continue
			}
			if l.pending == "" {
				for _, first := range byPort[l.bound] {
					l.yield(first)
				}
			}
			if !l.conflicts.some() {
				left = append(left, l)
			}
		}
		left = slices.DeleteFunc(left, func(l *listener) bool { return !takePort(byPort, l) })
		for i, l := range left {
			for _, other := range left[:i] {
				if l.spec.Port == other.spec.Port {
					l.clash(other)
					other.clash(l)
				}
			}
		}
	}
}

// bind finds the ports of the process. One that a Gateway that comes first has for another of its ports, or another Gateway, would carry what
// is not meant for it.
func bind(bindings map[types.NamespacedName]Binding, gateways []*gateway) {
	type owner struct {
		gateway *gateway
		port    int32
	}
	owners := make(map[uint16]owner)
	for _, g := range gateways {
		for _, l := range g.listeners {
			if bindings == nil {
				l.bound = uint16(l.spec.Port)
				continue
			}
			bound, is := bindings[g.name][l.spec.Port], owner{g, l.spec.Port}
			switch of, taken := owners[bound]; {
			case bound == 0:
				l.pending = fmt.Sprintf("the Service of this Gateway has no port %d yet: eastway controller makes it", l.spec.Port)
			case taken && of != is:
				l.pending = fmt.Sprintf("the targetPort %d of this Gateway's Service is that of port %d of Gateway %s: delete the Service, and "+
					"eastway controller makes it anew", bound, of.port, of.gateway.name)
			default:
				l.bound, owners[bound] = bound, is
			}
		}
	}
}

// takePort gives a listener its port, if there is room.
func takePort(byPort map[uint16][]*listener, l *listener) bool {
	if l.pending != "" {
		return true
	}
	port := l.bound
	if len(byPort[port]) == 0 && len(byPort) == MaxPorts {
		l.invalid.add(string(gatewayv1.ListenerReasonPortUnavailable), "port: there are %d others already", MaxPorts)
		return false
	}
	if len(byPort[port]) == maxSharing {
		l.invalid.add(string(gatewayv1.ListenerReasonPortUnavailable), "port: %d listeners share it already", maxSharing)
		return false
	}
	byPort[port] = append(byPort[port], l)
	return true
}

// yield compares a listener with one of a Gateway that comes first.
func (l *listener) yield(first *listener) {
	const order = "and its Gateway comes first: it is older, or as old and before this one by name"
	switch {
	case l.spec.Protocol != first.spec.Protocol:
		l.conflicts.add(string(gatewayv1.ListenerReasonProtocolConflict), "%s has another protocol on this port, %s", first, order)
	case l.hostname == first.hostname:
		l.conflicts.add(string(gatewayv1.ListenerReasonHostnameConflict), "%s has this port and hostname too, %s", first, order)
	default:
		l.overlap(first)
		first.overlap(l)
	}
}

// clash compares a listener with another one of its Gateway.
func (l *listener) clash(other *listener) {
	switch {
	case l.spec.Protocol != other.spec.Protocol:
		l.conflicts.add(string(gatewayv1.ListenerReasonProtocolConflict), "%s has another protocol on this port", other)
	case l.hostname == other.hostname:
		l.conflicts.add(string(gatewayv1.ListenerReasonHostnameConflict), "%s has this port and hostname too", other)
	default:
		l.overlap(other)
	}
}

func (l *listener) overlap(other *listener) {
	if _, overlap := intersection(l.hostname, other.hostname); overlap && l.tls() {
		l.overlaps.add(string(gatewayv1.ListenerReasonOverlappingHostnames),
			"%s has hostnames of this one on the same port: requests on connections that were made for the other one get status 421", other)
	}
}

// String names the listener for messages.
func (l *listener) String() string {
	return fmt.Sprintf("listener %s of Gateway %s", l.spec.Name, l.gateway.name)
}
