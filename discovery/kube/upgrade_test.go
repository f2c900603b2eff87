package kube

import (
	"reflect"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A Peer of a release before exports, imports, quota, localities and denied is what it was: what it exports is used,
// and it may call what is exported to it.
func TestPeerOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(join(peerYAML("b", 1), shopYAML, shopExport))
	if p := l.problems(); len(p) > 0 {
		t.Fatal(p)
	}
	local := l.flushed()
	got := local.Peers["b"]
	if got == nil {
		t.Fatal("the Peer is not used")
	}
	bare := v1alpha1.PeerSpec{SPIFFEID: got.Spec.SPIFFEID, TrustBundle: got.Spec.TrustBundle, Addresses: got.Spec.Addresses}
	if !reflect.DeepEqual(got.Spec, bare) {
		t.Errorf("the Peer has become %+v", got.Spec)
	}
	shop := local.Services.Get(name{Namespace: "default", Name: "shop"})
	if v := discovery.MayCall(got, shop); v != (discovery.Verdict{Allowed: true, Rule: discovery.RuleExported}) {
		t.Errorf("the peer may call what is exported: %+v", v)
	}
	if allowed, rule := discovery.MayImport(got, ownNamespace, shop.Name); !allowed || rule != "" || shop.Private {
		t.Errorf("what it exports is used: %v by %q, private %v", allowed, rule, shop.Private)
	}
}

func (l *lab) flushed() discovery.Local {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.world.flush()
}
