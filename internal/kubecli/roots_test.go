package kubecli

import (
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
)

// Which roots a peer was given is known until the CA is another one.
func TestRoots(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Add(kubetest.Manifest(t, "b", "b.example.com:15443").Peer)
	peer := func() *v1alpha1.Peer {
		p, err := c.Peer(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	old, next := kubetest.NewCA(t, "a"), kubetest.NewCA(t, "a")
	both := append(old.Bundle().X509Authorities(), next.Bundle().X509Authorities()...)
	if _, known := Lacks(peer(), both); known {
		t.Error("known without a record")
	}
	if err := RecordRoots(t.Context(), c, "b", old.Bundle()); err != nil {
		t.Fatal(err)
	}
	if lacks, known := Lacks(peer(), old.Bundle().X509Authorities()); !known || len(lacks) != 0 {
		t.Errorf("lacks %v, %t", lacks, known)
	}
	if lacks, known := Lacks(peer(), both); !known || len(lacks) != 1 || !lacks[0].Equal(next.Bundle().X509Authorities()[0]) {
		t.Errorf("lacks %v, %t", lacks, known)
	}
}
