package v1alpha1_test

import (
	"fmt"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Whatever its source, a manifest is checked before it is used; an error names the field.
func ExampleValidatePeer() {
	peer := &v1alpha1.Peer{Spec: v1alpha1.PeerSpec{
		SPIFFEID:    "spiffe://west.eastway.internal/eastway/cluster/west",
		TrustBundle: "-----BEGIN CERTIFICATE-----\n…", // package certs checks what it holds
		Addresses:   []string{"west.example.com:15443", "west.example.com"},
	}}
	peer.Name = "west"
	for _, err := range v1alpha1.ValidatePeer(peer) {
		fmt.Println(err)
	}
	// Output: spec.addresses[1]: Invalid value: "west.example.com": must be host:port: the port is missing
}
