package kubetest

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// Manifest is what a cluster of that name exports; each call makes another CA.
func Manifest(t testing.TB, name string, addresses ...string) peering.Manifest {
	t.Helper()
	td, err := certs.DefaultTrustDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		t.Fatal(err)
	}
	id, err := certs.ClusterID(td, name)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	if err != nil {
		t.Fatal(err)
	}
	peer := &v1alpha1.Peer{Spec: v1alpha1.PeerSpec{SPIFFEID: id.String(), TrustBundle: string(bundle), Addresses: addresses}}
	peer.Name = name
	m, err := peering.New(peer)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Install adds what the controller publishes of the cluster itself.
func (s *Server) Install(namespace, release string, own peering.Manifest) {
	s.t.Helper()
	data, err := own.YAML()
	if err != nil {
		s.t.Fatal(err)
	}
	from := peering.FromLoadBalancer
	if len(own.Peer.Spec.Addresses) == 0 {
		from = peering.FromNowhere
	}
	config := &corev1.ConfigMap{Data: map[string]string{
		peering.PeerKey: string(data), peering.ClusterKey: own.Peer.Name, peering.FromKey: from,
	}}
	config.Namespace, config.Name = namespace, release+"-cluster"
	s.Add(config)
}
