package main

import (
	"fmt"
	"net/netip"

	"github.com/eastway/eastway/discovery"
)

// What each service is like.
const (
	// perNamespace services are in one namespace.
	perNamespace = 100
	// endpoints of each service.
	endpoints = 3
	// servicePort of each, and the port of its pods.
	servicePort, podPort = 80, 8080
)

// own is service i of the cluster.
func own(i int) discovery.ServiceName {
	return discovery.ServiceName{Namespace: namespaceOf(i), Name: fmt.Sprintf("service-%05d", i)}
}

// remote is service i of those that the peers export together: every other one has the name of one of the cluster's.
func remote(i int) discovery.ServiceName {
	if i%2 == 0 {
		return own(i)
	}
	return discovery.ServiceName{Namespace: namespaceOf(i), Name: fmt.Sprintf("remote-%05d", i)}
}

func namespaceOf(i int) string { return fmt.Sprintf("scale-%03d", i/perNamespace) }

// namespaces that there are.
func (o *options) namespaces() int { return (o.services + perNamespace - 1) / perNamespace }

// imports are the distinct names.
func (o *options) imports() int { return o.services + o.services/2 }

// share of a peer in the services that the peers export: from the first up to, not including, the last.
func (o *options) share(peer int) (first, last int) {
	return peer * o.services / o.peers, (peer + 1) * o.services / o.peers
}

// peerOf is the peer that exports service i.
func (o *options) peerOf(i int) int {
	for p := range o.peers {
		if _, last := o.share(p); i < last {
			return p
		}
	}
	return o.peers - 1
}

// podAddress is that of endpoint k of service i; no pod has it.
func podAddress(i, k int) netip.Addr {
	n := i*endpoints + k
	return netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)}) // cut into bytes
}
