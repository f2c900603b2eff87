package mcs_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A controller that starts while a peer cannot be reached changes nothing, until the peer has spoken or its Peer is removed.
func TestPeerNotHeardSinceTheStart(t *testing.T) {
	t.Parallel()
	sticky := func(e *discovery.PeerExport) {
		e.Spec.SessionAffinity, e.Spec.InternalTrafficPolicy = "ClientIP", "Local"
	}
	pods := headless(discovery.Pod{Hostname: "shop-0", Ready: true}, discovery.Pod{Hostname: "shop-1"})
	for name, edit := range map[string]func(*discovery.PeerExport){"ClusterSetIP": sticky, "headless": pods} {
		w := newWorld(t, shop, shopPods, peerA, peerB)
		w.restart()
		w.now = second(2)
		w.tell("a", remote(1, edit)) // the oldest: it decides
		w.reconcile()
		w.create(shopExport)
		w.tell("b", remote(30))
		w.reconcile()
		w.expectClusters("a", "b", own)

		w.restart()
		if written := w.reconcile(); len(written) > 0 {
			t.Errorf("%s: after a restart: %v", name, written)
		}
		// What is known again is followed on.
		w.remove(&mcsv1beta1.ServiceExport{}, "default", "shop")
		w.reconcile()
		w.expectClusters("a", "b")
		// a has spoken, and still exports; b has spoken, and does not.
		w.tell("a", remote(1, edit))
		w.tell("b")
		w.reconcile()
		w.expectClusters("a")
		w.restart()
		w.remove(&v1alpha1.Peer{}, "", "a")
		w.reconcile()
		w.nothingImported()
	}
}

// A peer that is heard for the first time while a service is looked at is not missed: with many services that happens to some.
func TestPeerHeardMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA, peerB)
	w.restart()
	exports := map[string]discovery.PeerExport{"a": remote(1), "b": remote(30)}
	w.tell("a", exports["a"])
	w.tell("b", exports["b"])
	w.reconcile()
	w.expectClusters("a", "b")
	w.restart()
	w.asked = func(peer string) {
		w.asked = nil
		other := map[string]string{"a": "b", "b": "a"}[peer]
		w.tell(other, exports[other])
	}
	if written := w.reconcile(); len(written) > 0 {
		t.Errorf("%v", written)
	}
	w.expectClusters("a", "b")
}

// The import itself remembers who exported, should a slice be lost.
func TestSliceLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA)
	w.restart()
	w.tell("a", remote(1, func(e *discovery.PeerExport) { e.Spec.SessionAffinity = "ClientIP" }))
	w.reconcile()
	before := w.serviceImport()
	slice := w.slices()["a"][0]
	w.remove(&discoveryv1.EndpointSlice{}, "default", slice.Name)
	w.restart()
	w.reconcile()
	w.expectClusters("a")
	if after := w.serviceImport(); !apiEqual(before.Spec, after.Spec) {
		t.Errorf("was %+v, is %+v", before.Spec, after.Spec)
	}
}

// A namespace that goes takes its imports along, and what backs them.
func TestNamespaceGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA)
	w.restart()
	w.tell("a", remote(1))
	w.reconcile()
	w.remove(&corev1.Namespace{}, "", "default")
	w.reconcile()
	w.nothingImported()
}
