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
	return ManifestOf(t, NewCA(t, name), name, addresses...)
}

// NewCA makes the CA of a cluster.
func NewCA(t testing.TB, name string) *certs.CA {
	t.Helper()
	td, err := certs.DefaultTrustDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// ManifestOf is what the cluster of that name exports, with that CA.
func ManifestOf(t testing.TB, ca *certs.CA, name string, addresses ...string) peering.Manifest {
	t.Helper()
	id, err := certs.ClusterID(ca.TrustDomain(), name)
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

// AddCA adds the Secret of the cluster's CA.
func (s *Server) AddCA(namespace, release string, ca *certs.CA) {
	s.t.Helper()
	content, err := ca.Secret()
	if err != nil {
		s.t.Fatal(err)
	}
	secret := &corev1.Secret{Data: content.Data()}
	secret.Namespace, secret.Name = namespace, release+"-ca"
	s.Add(secret)
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
