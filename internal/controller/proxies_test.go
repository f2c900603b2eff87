package controller

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/identity"
)

func proxySlice(name string, kind discoveryv1.AddressType, addresses ...string) *discoveryv1.EndpointSlice {
	tunnel, health := "tunnel", "health"
	port, other := int32(15443), int32(15020)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "system", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: "eastway-proxies"},
		},
		AddressType: kind,
		Ports:       []discoveryv1.EndpointPort{{Name: &health, Port: &other}, {Name: &tunnel, Port: &port}},
	}
	for i, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{a}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "proxy-" + string(rune('0'+i))},
		})
	}
	return s
}

func TestTunnelAddresses(t *testing.T) {
	t.Parallel()
	v6 := proxySlice("v6", discoveryv1.AddressTypeIPv6, "fd00::1", "fd00::2", "fd00::3")
	v4 := proxySlice("v4", discoveryv1.AddressTypeIPv4, "10.244.0.2", "10.244.0.1")
	bare := proxySlice("bare", discoveryv1.AddressTypeIPv4, "10.244.0.9")
	bare.Ports = nil
	got := tunnelAddresses([]discoveryv1.EndpointSlice{*v6, *v4, *bare})
	if want := []string{"10.244.0.1:15443", "10.244.0.2:15443", "[fd00::3]:15443"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// told records the calls of the siblings.
type told struct {
	addresses [][]string
	err       error
}

func (s *told) Run(context.Context) error { return nil }

func (s *told) SetProxies(addresses []string) error {
	s.addresses = append(s.addresses, addresses)
	return s.err
}

func (s *told) PeerStates() (map[string][]discovery.PeerConnectivity, <-chan struct{}) {
	return nil, nil
}

// The siblings get the proxies once there is an identity to dial them with.
func TestSiblingsAreTold(t *testing.T) {
	t.Parallel()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(proxySlice("v4", discoveryv1.AddressTypeIPv4, "10.244.0.2")).Build()
	siblings := &told{}
	p := &proxies{
		client: c, namespace: "system", service: "eastway-proxies", identity: &identity.Holder{}, siblings: siblings, log: zap.NewNop(),
	}
	if _, err := p.Reconcile(t.Context(), reconcile.Request{}); err != nil || len(siblings.addresses) > 0 {
		t.Errorf("told %v without an identity, %v", siblings.addresses, err)
	}
	changed := p.identity.Changed()
	makeIdentity(t, c, p.identity)
	<-changed
	if _, err := p.Reconcile(t.Context(), reconcile.Request{}); err != nil || len(siblings.addresses) != 1 ||
		!slices.Equal(siblings.addresses[0], []string{"10.244.0.2:15443"}) {
		t.Errorf("told %v, %v", siblings.addresses, err)
	}
	siblings.err = errors.New("broken")
	if _, err := p.Reconcile(t.Context(), reconcile.Request{}); err == nil {
		t.Error("an error is lost")
	}
}

func makeIdentity(t *testing.T, c client.Client, h *identity.Holder) {
	t.Helper()
	w, err := apply.NewWriter(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := identity.New(identity.Config{
		Cluster: "here", TrustDomain: spiffeid.RequireTrustDomainFromString("here.test"), Namespace: "system",
		CASecret: "ca", SVIDSecret: "svid", NodeSecret: "node-svid", ConfigMap: "cluster", Client: c, Direct: c, Writer: w, Holder: h,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	n, err := trimNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"much": "text"}},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Address: "x"}}, Images: []corev1.ContainerImage{{SizeBytes: 1}},
		},
	})
	node, ok := n.(*corev1.Node)
	if err != nil || !ok || node.Name != "n" || node.Labels["a"] != "b" || node.Annotations != nil || node.Status.Images != nil ||
		len(node.Status.Addresses) != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	now := metav1.Now()
	m, err := trimNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "n", DeletionTimestamp: &now, Labels: map[string]string{"a": "b"},
	}})
	if ns, ok := m.(*corev1.Namespace); err != nil || !ok || ns.Name != "n" || ns.DeletionTimestamp == nil || ns.Labels != nil {
		t.Errorf("%+v, %v", m, err)
	}
	for _, trim := range []func(any) (any, error){trimNode, trimNamespace} {
		if got, err := trim("a tombstone"); got != "a tombstone" || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
}
