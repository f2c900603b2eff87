package peers

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// validPeer has a trust bundle of its own.
func validPeer(t *testing.T, name string) *v1alpha1.Peer {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(name + ".test")})
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.Peer{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1},
		Spec: v1alpha1.PeerSpec{
			SPIFFEID: "spiffe://" + name + ".test/eastway/cluster/" + name, TrustBundle: string(bundle), Addresses: []string{"192.0.2.1:15443"},
		},
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const (
		ownID = "spiffe://here.test/eastway/cluster/here"
		key   = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
	)
	for name, tc := range map[string]struct {
		edit         func(*v1alpha1.Peer)
		reason, want string
	}{
		"valid":        {func(*v1alpha1.Peer) {}, v1alpha1.ReasonAccepted, ""},
		"own name":     {func(p *v1alpha1.Peer) { p.Name = "here" }, v1alpha1.ReasonOwnName, "metadata.name"},
		"own ID":       {func(p *v1alpha1.Peer) { p.Spec.SPIFFEID = ownID }, v1alpha1.ReasonOwnName, "spec.spiffeID"},
		"bad bundle":   {func(p *v1alpha1.Peer) { p.Spec.TrustBundle = "x" }, v1alpha1.ReasonInvalid, "spec.trustBundle"},
		"other name":   {func(p *v1alpha1.Peer) { p.Name = "b" }, v1alpha1.ReasonInvalid, "spec.spiffeID"},
		"bad address":  {func(p *v1alpha1.Peer) { p.Spec.Addresses = []string{"x"} }, v1alpha1.ReasonInvalid, "spec.addresses[0]"},
		"other domain": {func(p *v1alpha1.Peer) { p.Spec.SPIFFEID = "spiffe:///x" }, v1alpha1.ReasonInvalid, "spec.spiffeID"},
		"another's bundle": {
			func(p *v1alpha1.Peer) { p.Spec.SPIFFEID = "spiffe://b.test/eastway/cluster/a" }, v1alpha1.ReasonInvalid, "spec.trustBundle",
		},
		"a key": {func(p *v1alpha1.Peer) {
			p.Spec.TrustBundle = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
		}, v1alpha1.ReasonInvalid, "spec.trustBundle"},
	} {
		p := validPeer(t, "a")
		tc.edit(p)
		v := judge("here", ownID, p)
		if v.reason != tc.reason || !strings.HasPrefix(v.message, tc.want) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

type world struct {
	t      *testing.T
	c      client.Client
	r      *Reconciler
	now    time.Time
	states map[string][]discovery.PeerConnectivity
	writes int
}

func newWorld(t *testing.T, peers ...*v1alpha1.Peer) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Unix(1_800_000_000, 0)}
	b := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Peer{}).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceApply: func(
			ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption,
		) error {
			w.writes++
			return c.SubResource(sub).Apply(ctx, o, opts...)
		},
	})
	for _, p := range peers {
		b.WithObjects(p)
	}
	w.c = b.Build()
	writer, err := apply.NewWriter(w.c, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.r, err = New(Config{
		Cluster: "here", Namespace: "mesh", OwnID: func() string { return "" }, Catalog: discovery.NewCatalog(nil), Client: w.c, Writer: writer,
		States: func() (map[string][]discovery.PeerConnectivity, <-chan struct{}) { return w.states, nil },
		Now:    func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// look reconciles after some time.
func (w *world) look(after time.Duration) reconcile.Result {
	w.t.Helper()
	w.now = w.now.Add(after)
	result, err := w.r.Reconcile(w.t.Context(), reconcile.Request{})
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

func (w *world) peer(name string) *v1alpha1.Peer {
	w.t.Helper()
	p := &v1alpha1.Peer{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Name: name}, p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// conditions of a peer as TYPE → STATUS/REASON.
func (w *world) conditions(name string) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for _, c := range w.peer(name).Status.Conditions {
		if c.Message == "" {
			w.t.Errorf("%s has no message", c.Type)
		}
		out[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return out
}

func (w *world) known() []string {
	return slices.Sorted(maps.Keys(w.r.cfg.Catalog.Snapshot().Peers))
}

func link(dialed bool, lanes int, rtt time.Duration) discovery.PeerLink {
	return discovery.PeerLink{Replica: "r", State: status.Connected, Dialed: dialed, TCPLanes: lanes - 1, QUICLanes: 1, RTT: rtt}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		states    map[string][]discovery.PeerConnectivity
		noAddress bool
		want      string // Trusted Connected ReachableFromUs ReachesUs
		err       string
	}{
		"no report": {nil, false, "Unknown/Pending Unknown/Pending Unknown/Pending Unknown/Pending", ""},
		"connected": {
			map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Links: []discovery.PeerLink{link(true, 3, time.Millisecond)}}}},
			false, "True/HandshakeSucceeded True/TunnelUp True/TunnelUp Unknown/OtherSideDialled", "",
		},
		"dialed by the peer": {
			map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Links: []discovery.PeerLink{link(false, 3, time.Millisecond)}}}},
			true, "True/HandshakeSucceeded True/TunnelUp False/NoAddress True/TunnelUp", "",
		},
		"one of two proxies": {
			map[string][]discovery.PeerConnectivity{
				"p1": {{Peer: "a", Links: []discovery.PeerLink{link(true, 3, time.Millisecond)}}},
				"p2": {{Peer: "b"}, {Peer: "a", Error: "TCP to peer a: connection refused"}},
			},
			false, "True/HandshakeSucceeded True/SomeProxiesOnly True/TunnelUp Unknown/OtherSideDialled", "TCP to peer a: connection refused",
		},
		"unreachable": {
			map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Error: "TCP to peer a: connection refused"}}},
			false, "Unknown/Pending False/NoTunnel False/NoTunnel Unknown/Pending", "TCP to peer a: connection refused",
		},
		"refused": {
			map[string][]discovery.PeerConnectivity{
				"p1": {{Peer: "a", Error: "TCP to peer a: connection refused"}},
				"p2": {{Peer: "a", Error: "peer a's certificate is signed by an unknown authority", Reason: "unknown_authority"}},
			},
			false, "False/HandshakeRefused False/NoTunnel False/NoTunnel Unknown/Pending", "peer a's certificate is signed by an unknown authority",
		},
		"a network's error that speaks of certificates": {
			map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Error: "TCP to peer a at tls.certificate.example: no such host"}}},
			false, "Unknown/Pending False/NoTunnel False/NoTunnel Unknown/Pending", "TCP to peer a at tls.certificate.example: no such host",
		},
		"draining": {
			map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Links: []discovery.PeerLink{{State: "draining"}}}}},
			false, "Unknown/Pending False/NoTunnel Unknown/Pending Unknown/Pending", "",
		},
	} {
		p := validPeer(t, "a")
		if tc.noAddress {
			p.Spec.Addresses = nil
		}
		w := newWorld(t, p)
		w.states = tc.states
		w.look(0)
		c := w.conditions("a")
		got := strings.Join([]string{c["Trusted"], c["Connected"], c["ReachableFromUs"], c["ReachesUs"]}, " ")
		if got != tc.want || c["Accepted"] != "True/Accepted" {
			t.Errorf("%s: %s\nwant %s", name, got, tc.want)
		}
		if s := w.peer("a").Status; s.LastError != tc.err || s.ObservedGeneration != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A manifest that breaks leaves the last good one in use; a Peer that is removed is gone.
func TestLastGoodStateIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, validPeer(t, "a"), validPeer(t, "b"))
	w.look(0)
	if got := w.known(); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("known: %v", got)
	}
	p := w.peer("a")
	good := p.Spec
	p.Spec.TrustBundle = "broken"
	if err := w.c.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.look(time.Minute)
	if c := w.conditions("a"); c["Accepted"] != "False/Invalid" || c["Trusted"] != "False/Invalid" {
		t.Errorf("%v", c)
	}
	if got := w.r.cfg.Catalog.Snapshot().Peers["a"]; got == nil || got.Spec.TrustBundle != good.TrustBundle {
		t.Errorf("in use: %v", got)
	}
	p = w.peer("a")
	p.Spec = good
	if err := w.c.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.look(time.Minute)
	if c := w.conditions("a"); c["Accepted"] != "True/Accepted" {
		t.Errorf("%v", c)
	}
	if err := w.c.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.look(time.Minute)
	if got := w.known(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("known: %v", got)
	}
}

func TestOwnNameIsNoPeer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, validPeer(t, "here"))
	w.look(0)
	if c := w.conditions("here"); c["Accepted"] != "False/OwnName" {
		t.Errorf("%v", c)
	}
	if got := w.known(); len(got) > 0 {
		t.Errorf("known: %v", got)
	}
}

// Figures follow at leisure, what matters at once, and what does not change is not written.
func TestWritesAreFew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, validPeer(t, "a"))
	at := func(lanes int, rtt time.Duration) {
		w.states = map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Links: []discovery.PeerLink{link(true, lanes, rtt)}}}}
	}
	written := func() int {
		defer func() { w.writes = 0 }()
		return w.writes
	}
	at(3, 10*time.Millisecond)
	w.look(0)
	if written() != 1 {
		t.Error("nothing written")
	}
	if s := w.peer("a").Status; s.Lanes != 3 || s.RoundTripTime.Duration != 10*time.Millisecond || s.Proxies != 1 || s.ConnectedProxies != 1 {
		t.Errorf("%+v", s)
	}
	at(3, 11*time.Millisecond)
	w.look(time.Hour)
	if written() != 0 {
		t.Error("written for a round trip that is about the same")
	}
	at(3, 30*time.Millisecond)
	w.look(time.Second) // an hour since the last write
	if written() != 1 {
		t.Error("another round trip is not written")
	}
	at(8, 30*time.Millisecond)
	if result := w.look(statusPace); written() != 0 || result.RequeueAfter != figuresPace {
		t.Errorf("written at once for its lanes; comes back after %s", result.RequeueAfter)
	}
	w.states = map[string][]discovery.PeerConnectivity{"p1": {{Peer: "a", Error: "silent"}}}
	w.look(statusPace)
	if s := w.peer("a").Status; written() != 1 || s.Lanes != 0 || s.RoundTripTime != nil || s.LastError != "silent" {
		t.Errorf("%+v", s)
	}
	c := meta.FindStatusCondition(w.peer("a").Status.Conditions, "Connected")
	if c.Status != metav1.ConditionFalse || !c.LastTransitionTime.Time.Equal(w.now) || !strings.Contains(c.Message, "silent") {
		t.Errorf("%+v", c)
	}
}

// What others chose is short in conditions, in the status and in events, and prints on one line.
func TestTextsOfOthers(t *testing.T) {
	t.Parallel()
	const most = maxMessage + 100 // with what is written around it
	check := func(name, text string) {
		if text != clip.Text(text, most) {
			t.Errorf("%s: %d bytes, %.200q", name, len(text), text)
		}
	}
	for name, text := range map[string]string{
		"escape sequence": "a\x1b[2Jb", "in one character": "a\u009b2Jb", "line": "a\nb", "turned around": "a\u202eb",
		"long": strings.Repeat("é", 1<<20),
	} {
		broken := validPeer(t, "b")
		broken.Spec.SPIFFEID, broken.Spec.Addresses = "spiffe://"+text, []string{text}
		quota := validPeer(t, "a")
		quota.Spec.Quota = &v1alpha1.ImportQuota{Services: 1}
		w := newWorld(t, quota, broken)
		events := record.NewFakeRecorder(9)
		w.r.cfg.Events = events
		u := discovery.Update{
			Epoch: 1, Revision: 1,
			Exports: map[discovery.ServiceName]discovery.Metadata{}, Readiness: map[discovery.ServiceName]discovery.Endpoints{},
		}
		for _, n := range []discovery.ServiceName{{Namespace: "n", Name: "a"}, {Namespace: text, Name: text}} {
			u.Exports[n], u.Readiness[n] = discovery.Metadata{}, discovery.Endpoints{}
		}
		w.look(0)
		if err := w.r.cfg.Catalog.UpdateRemote(discovery.ReplicaID{Peer: "a", Replica: "r"}, u); err != nil {
			t.Fatal(err)
		}
		for _, reason := range []string{"", "unknown_authority"} {
			w.states = map[string][]discovery.PeerConnectivity{
				"p": {{Peer: "a", Error: text, Reason: reason}, {Peer: "b", Error: text, Reason: reason}},
			}
			w.look(figuresPace)
			for _, peer := range []string{"a", "b"} {
				s := w.peer(peer).Status
				check(name+": last error", s.LastError)
				for _, c := range s.Conditions {
					check(name+": "+c.Type, c.Message)
				}
			}
		}
		if len(events.Events) != 1 {
			t.Errorf("%s: %d events", name, len(events.Events))
		}
		for range len(events.Events) {
			check(name+": event", <-events.Events)
		}
	}
}
