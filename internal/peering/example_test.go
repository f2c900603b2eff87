package peering_test

import (
	"fmt"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// One cluster exports its manifest, another imports it, and later sees what a new version changes.
func Example() {
	peer, err := own("cn-hangzhou", "203.0.113.7:15443")
	if err != nil {
		fmt.Println(err)
		return
	}
	exported, err := peering.New(peer)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := exported.YAML()
	if err != nil {
		fmt.Println(err)
		return
	}
	imported, err := peering.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(imported.Identity.ID)

	before := imported.Peer.DeepCopy()
	imported.Peer.Spec.Addresses = append(imported.Peer.Spec.Addresses, "203.0.113.8:15443")
	fmt.Println(imported.Taken(before, "this cluster"))
	for _, change := range imported.Changes(before) {
		fmt.Println(change)
	}
	// Output:
	// spiffe://cn-hangzhou.eastway.internal/eastway/cluster/cn-hangzhou
	// <nil>
	// peer cn-hangzhou: addresses: 203.0.113.7:15443 203.0.113.8:15443, were 203.0.113.7:15443
}

// own is a cluster's Peer, with a CA of its own.
func own(name string, addresses ...string) (*v1alpha1.Peer, error) {
	td, err := certs.DefaultTrustDomain(name)
	if err != nil {
		return nil, err
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		return nil, err
	}
	id, err := certs.ClusterID(td, name)
	if err != nil {
		return nil, err
	}
	bundle, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	if err != nil {
		return nil, err
	}
	peer := &v1alpha1.Peer{Spec: v1alpha1.PeerSpec{SPIFFEID: id.String(), TrustBundle: string(bundle), Addresses: addresses}}
	peer.Name = name
	return peer, nil
}
