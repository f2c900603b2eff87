package route

import (
	"fmt"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// checkTogether finds listeners that cannot be distinguished, and TLS configurations that overlap. Gateways come in order. Of two Gateways, the
// first one keeps what it has: a new one takes nothing from it. In one Gateway, no listener of a conflict is used: which of them was
// meant is not known. Listeners that cannot be used take part in no conflict.
func checkTogether(gateways []*gateway) {
	byPort := make(map[int32][]*listener)
	for _, g := range gateways {
		var left []*listener
		for _, l := range g.listeners {
			if !l.usable() {
				continue
			}
			for _, first := range byPort[l.spec.Port] {
				l.yield(first)
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

// takePort gives a listener its port, if there is room.
func takePort(byPort map[int32][]*listener, l *listener) bool {
	port := l.spec.Port
	if len(byPort[port]) == 0 && len(byPort) == maxPorts {
		l.invalid.add(string(gatewayv1.ListenerReasonPortUnavailable), "port: there are %d others already", maxPorts)
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
