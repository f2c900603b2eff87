package kubecli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
	"github.com/eastway/eastway/internal/peering"
)

const peers = "eastway.dev/v1alpha1/peers"

// installed is a cluster in which Eastway runs under that name.
func installed(t *testing.T, name string, addresses ...string) (*kubetest.Server, *Cluster) {
	t.Helper()
	s := newServer(t)
	s.Install(DefaultNamespace, DefaultRelease, kubetest.Manifest(t, name, addresses...))
	return s, open(t, name, s)
}

func TestOwn(t *testing.T) {
	t.Parallel()
	_, c := installed(t, "a", "a.example.com:1")
	own, err := c.Own(t.Context())
	if err != nil || own.Peer.Name != "a" || own.Peer.Spec.Addresses[0] != "a.example.com:1" {
		t.Errorf("%+v, %v", own.Peer, err)
	}
	_, err = open(t, "b", newServer(t)).Own(t.Context())
	is(t, err, ErrNotInstalled, "there is no ConfigMap eastway-cluster")
}

func TestImport(t *testing.T) {
	t.Parallel()
	s, c := installed(t, "a")
	b := kubetest.Manifest(t, "b", "b.example.com:1")
	if got, err := c.Import(t.Context(), b, ImportOptions{DryRun: true}); err != nil || !got.Added || s.Get(peers, "", "b", &v1alpha1.Peer{}) {
		t.Errorf("dry run: %+v, %v", got, err)
	}
	got, err := c.Import(t.Context(), b, ImportOptions{})
	if err != nil || !got.Added || got.Unchecked != "" {
		t.Errorf("%+v, %v", got, err)
	}
	var there v1alpha1.Peer
	if !s.Get(peers, "", "b", &there) || there.Spec.Addresses[0] != "b.example.com:1" || there.Spec.TrustBundle != b.Peer.Spec.TrustBundle {
		t.Errorf("applied: %+v", there)
	}
	if got, err = c.Import(t.Context(), b, ImportOptions{}); err != nil || got.Added || len(got.Changes) != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	b.Peer.Spec.Addresses = nil
	if got, err = c.Import(t.Context(), b, ImportOptions{}); err != nil || len(got.Changes) != 1 {
		t.Errorf("without address: %+v, %v", got, err)
	}
	there = v1alpha1.Peer{}
	if s.Get(peers, "", "b", &there); len(there.Spec.Addresses) != 0 {
		t.Errorf("the address stayed: %+v", there.Spec.Addresses)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	s, c := installed(t, "a")
	own, err := c.Own(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refused := func(text string, m func() error) {
		t.Helper()
		if err := m(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	refused(`"a" is this cluster itself`, func() error { _, err := c.Import(t.Context(), own, ImportOptions{}); return err })
	twin := kubetest.Manifest(t, "a")
	twin.Peer.Spec.SPIFFEID = "spiffe://other.test/eastway/cluster/a"
	refused(`this cluster's own name`, func() error { _, err := c.Import(t.Context(), twin, ImportOptions{}); return err })

	b := kubetest.Manifest(t, "b", "b.example.com:1")
	b.Peer.Annotations = map[string]string{"managed-by-others": "x"}
	if _, err := c.Import(t.Context(), b, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	b.Peer.Spec.Addresses = []string{"b.example.com:2"}
	refused("take it over with --force", func() error { _, err := c.Import(t.Context(), b, ImportOptions{}); return err })
	if _, err := c.Import(t.Context(), b, ImportOptions{Force: true}); err != nil {
		t.Error(err)
	}
	b.Peer.Spec.SPIFFEID = "spiffe://other.test/eastway/cluster/b"
	refused(`the name "b" is taken: in context a it is`, func() error { _, err := c.Import(t.Context(), b, ImportOptions{}); return err })

	// Without the right to read the ConfigMap nothing is known of the own name: that is said.
	s.Forbid("get", "configmaps")
	got, err := c.Import(t.Context(), kubetest.Manifest(t, "c"), ImportOptions{})
	if err != nil || !strings.Contains(got.Unchecked, "configmaps is forbidden") {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = c.Import(t.Context(), own, ImportOptions{Own: "a"}); err == nil {
		t.Error("--cluster is ignored")
	}
	s.Forbid("patch", "peers")
	_, err = c.Import(t.Context(), kubetest.Manifest(t, "d"), ImportOptions{Own: "a"})
	is(t, err, ErrForbidden, "apply Peer d")
	s.Drop(peers)
	_, err = c.Import(t.Context(), kubetest.Manifest(t, "d"), ImportOptions{Own: "a"})
	is(t, err, ErrNoKind, "Peer d")
}

func TestRemovePeer(t *testing.T) {
	t.Parallel()
	s, c := installed(t, "a")
	if _, err := c.Import(t.Context(), kubetest.Manifest(t, "b", "b.example.com:1"), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, clusters := range map[string][]string{"alone": {"b"}, "both": {"a", "b"}, "mine": {"a"}} {
		i := &mcsv1beta1.ServiceImport{}
		i.Namespace, i.Name = "shop", name
		for _, cluster := range clusters {
			i.Status.Clusters = append(i.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: cluster})
		}
		s.Add(i)
	}
	got, err := c.RemovePeer(t.Context(), "b")
	if err != nil || !slices.Equal(got.Lost, []string{"shop/alone"}) || !slices.Equal(got.Reduced, []string{"shop/both"}) ||
		!slices.Equal(got.Addresses, []string{"b.example.com:1"}) || got.Unknown != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if s.Get(peers, "", "b", &v1alpha1.Peer{}) {
		t.Error("it is still there")
	}
	_, err = c.RemovePeer(t.Context(), "b")
	is(t, err, ErrNotFound, "remove Peer b")
}

// connects plays the controllers: they see each applied Peer, and say whether it is connected.
func connects(s *kubetest.Server, status metav1.ConditionStatus, lastError string) {
	s.OnChange(func(verb string, object map[string]any) {
		if object["kind"] != "Peer" || verb != "update" {
			return
		}
		var p v1alpha1.Peer
		name := object["metadata"].(map[string]any)["name"].(string)
		if !s.Get(peers, "", name, &p) {
			return
		}
		p.Status.Lanes, p.Status.LastError = 3, lastError
		p.Status.RoundTripTime = &metav1.Duration{Duration: 31 * time.Millisecond}
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PeerConnected, Status: status, Reason: v1alpha1.ReasonNoTunnel}}
		p.Kind, p.APIVersion = "Peer", v1alpha1.GroupVersion
		s.Add(&p)
	})
}

func ownOf(t *testing.T) func(*Cluster) (peering.Manifest, error) {
	return func(c *Cluster) (peering.Manifest, error) { return c.Own(t.Context()) }
}

func link(t *testing.T, clusters ...*Cluster) ([]Member, error) {
	t.Helper()
	members, err := Members(clusters, ownOf(t))
	if err != nil {
		return nil, err
	}
	for _, to := range members {
		for _, from := range members {
			if to.Own.Peer.Name == from.Own.Peer.Name {
				continue
			}
			if _, err := to.Cluster.Import(t.Context(), from.Own, ImportOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return members, nil
}

func TestLink(t *testing.T) {
	t.Parallel()
	sa, a := installed(t, "a", "a.example.com:1")
	sb, b := installed(t, "b")
	connects(sa, metav1.ConditionTrue, "")
	connects(sb, metav1.ConditionTrue, "")
	members, err := link(t, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unreachable(members); err != nil {
		t.Error(err)
	}
	var told []string
	err = AwaitConnected(t.Context(), members, func(p Progress) { told = append(told, p.Cluster+p.Peer+" "+p.State.Summary) })
	if err != nil || !slices.Equal(told, []string{"ab connected, 3 lanes, 31ms", "ba connected, 3 lanes, 31ms"}) {
		t.Errorf("%q, %v", told, err)
	}
}

func TestLinkThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	_, a := installed(t, "a")
	sb, b := installed(t, "b")
	connects(sb, metav1.ConditionFalse, "dial a.example.com:1: i/o timeout")
	members, err := link(t, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unreachable(members); err == nil || !strings.Contains(err.Error(), "neither a nor b has a public address") {
		t.Errorf("no addresses: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = AwaitConnected(ctx, members, func(Progress) {})
	if err == nil || !strings.Contains(err.Error(), "a to b: not connected yet; b to a: not connected: dial a.example.com:1: i/o timeout") {
		t.Errorf("got %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := AwaitConnected(ctx, members, func(Progress) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := a.RemovePeer(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := AwaitConnected(t.Context(), members, func(Progress) {}); err == nil || !strings.Contains(err.Error(), "removed meanwhile") {
		t.Errorf("removed: %v", err)
	}
}

func TestMembersRefuses(t *testing.T) {
	t.Parallel()
	_, a := installed(t, "a")
	_, twin := installed(t, "a")
	if _, err := Members([]*Cluster{a, a}, ownOf(t)); err == nil || !strings.Contains(err.Error(), "are the same cluster") {
		t.Errorf("twice the same: %v", err)
	}
	if _, err := Members([]*Cluster{a, twin}, ownOf(t)); err == nil || !strings.Contains(err.Error(), "two clusters of one name") {
		t.Errorf("two of one name: %v", err)
	}
	_, err := Members([]*Cluster{a, open(t, "b", newServer(t))}, ownOf(t))
	is(t, err, ErrNotInstalled, "context b")
}

func TestConnectionOf(t *testing.T) {
	t.Parallel()
	is := func(name string, status metav1.ConditionStatus, message string) metav1.Condition {
		return metav1.Condition{Type: name, Status: status, Message: message}
	}
	for want, p := range map[string]*v1alpha1.Peer{
		"the controller has not seen it yet": {
			ObjectMeta: metav1.ObjectMeta{Generation: 2},
			Status:     v1alpha1.PeerStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{is("Connected", "True", "")}},
		},
		"not accepted: spec.trustBundle: empty": {Status: v1alpha1.PeerStatus{Conditions: []metav1.Condition{
			is("Accepted", "False", "spec.trustBundle: empty"), is("Connected", "True", ""),
		}}},
		"not trusted: bad certificate": {Status: v1alpha1.PeerStatus{
			LastError: "bad certificate", Conditions: []metav1.Condition{is("Trusted", "False", "b: bad certificate"), is("Connected", "False", "")},
		}},
		"not connected": {Status: v1alpha1.PeerStatus{Conditions: []metav1.Condition{is("Connected", "Unknown", "")}}},
		"connected":     {Status: v1alpha1.PeerStatus{Conditions: []metav1.Condition{is("Connected", "True", "")}}},
	} {
		got := ConnectionOf(p)
		if want == "not trusted: bad certificate" {
			want = "not trusted: b: bad certificate"
		}
		if got.Summary != want || got.Connected != (want == "connected") {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
}

// What fails only until both sides have the other's Peer is not printed.
func TestLinkSettles(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	refused, fine := Connection{Summary: "not trusted: unknown_authority"}, Connection{Connected: true, Summary: "connected"}
	w := wait{settled: start.Add(settleTime)}
	var shown []string
	for at, state := range []Connection{refused, refused, {Summary: notConnected}, fine, refused, refused, fine} {
		w.last = state
		if s, news := w.show(start.Add(time.Duration(at+1) * time.Second)); news {
			shown = append(shown, fmt.Sprintf("%d %s", at+1, s.Summary))
		}
	}
	if want := []string{"1 connecting", "4 connected", "5 not trusted: unknown_authority", "7 connected"}; !slices.Equal(shown, want) {
		t.Errorf("shown %q, want %q", shown, want)
	}
}
