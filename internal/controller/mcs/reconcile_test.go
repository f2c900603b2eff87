package mcs_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const (
	shop = `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec:
  clusterIP: 10.96.1.1
  selector: {app: shop}
  ports:
  - {name: http, port: 80, targetPort: 8080, protocol: TCP, appProtocol: http}
  - {name: dns, port: 53, targetPort: 53, protocol: UDP}
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10}}
  internalTrafficPolicy: Cluster
  trafficDistribution: PreferClose
`
	shopPods = `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: shop-abc
  namespace: default
  labels: {kubernetes.io/service-name: shop, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- addresses: [10.244.0.5]
  conditions: {ready: true}
  nodeName: n1
  zone: z1
  targetRef: {kind: Pod, name: shop-0, namespace: default}
`
	shopExport = `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: shop, namespace: default, creationTimestamp: "2024-01-01T00:00:10Z"}
`
	peerA = `
apiVersion: eastway.dev/v1alpha1
kind: Peer
metadata: {name: a}
spec: {spiffeID: "spiffe://a/eastway/cluster/a", trustBundle: PEM}
`
	peerB = `
apiVersion: eastway.dev/v1alpha1
kind: Peer
metadata: {name: b}
spec: {spiffeID: "spiffe://b/eastway/cluster/b", trustBundle: PEM}
`
)

// update is a snapshot of everything that a peer exports; all of it is called default/shop.
func update(revision uint64, exports []discovery.PeerExport) discovery.Update {
	u := discovery.Update{
		Epoch: 1, Revision: revision,
		Exports: map[discovery.ServiceName]discovery.Metadata{}, Readiness: map[discovery.ServiceName]discovery.Endpoints{},
	}
	for i := range exports {
		e := &exports[i]
		name := discovery.ServiceName{Namespace: "default", Name: "shop"}
		u.Exports[name] = discovery.Metadata{Ports: e.Ports, Spec: e.Spec, Export: e.Export}
		u.Readiness[name] = discovery.Endpoints{Rows: e.Readiness, Pods: e.Pods}
	}
	return u
}

// second of 2024.
func second(n int) time.Time { return time.Date(2024, 1, 1, 0, 0, n, 0, time.UTC) }

// remote is an export of port 80 that is as old as seconds of 2024 say.
func remote(seconds int, edit ...func(*discovery.PeerExport)) discovery.PeerExport {
	e := discovery.PeerExport{
		Ports:     []discovery.ServicePort{{Name: "http", Port: 80, Protocol: "TCP", AppProtocol: "http"}},
		Readiness: []discovery.Readiness{{Port: 80, Ready: 1, Total: 1}},
		Export:    discovery.Export{Created: second(seconds)},
	}
	for _, f := range edit {
		f(&e)
	}
	return e
}

// An export of the own cluster alone: everything is made, nothing is written twice, and all of it goes with the export.
func TestOwnExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopPods, shopExport)
	w.reconcile()

	derived := w.derived(v1alpha1.DerivedImport)
	if len(derived) != 1 {
		t.Fatalf("%d derived Services", len(derived))
	}
	d := derived[0]
	if d.Spec.Selector["app.kubernetes.io/component"] != "proxy" || d.Labels[v1alpha1.ServiceNameLabel] != "shop" ||
		d.Labels[v1alpha1.ServiceNamespaceLabel] != "default" || d.Spec.SessionAffinity != corev1.ServiceAffinityClientIP ||
		*d.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds != 10 || *d.Spec.TrafficDistribution != "PreferClose" {
		t.Errorf("derived %+v", d)
	}
	if len(d.Spec.Ports) != 2 || d.Spec.Ports[0].Port != 80 || d.Spec.Ports[0].TargetPort.IntVal != 20000 ||
		d.Spec.Ports[1].Port != 53 || d.Spec.Ports[1].Protocol != "UDP" {
		t.Errorf("ports %+v", d.Spec.Ports)
	}

	i := w.serviceImport()
	http := "http"
	local := corev1.ServiceInternalTrafficPolicyCluster
	want := mcsv1beta1.ServiceImportSpec{
		Type: mcsv1beta1.ClusterSetIP, IPs: []string{d.Spec.ClusterIP}, IPFamilies: []corev1.IPFamily{"IPv4"},
		Ports: []mcsv1beta1.ServicePort{
			{Name: "http", Port: 80, Protocol: "TCP", AppProtocol: &http}, {Name: "dns", Port: 53, Protocol: "UDP"},
		},
		SessionAffinity: "ClientIP", SessionAffinityConfig: d.Spec.SessionAffinityConfig,
		InternalTrafficPolicy: &local, TrafficDistribution: d.Spec.TrafficDistribution,
	}
	if !mcsEqual(i.Spec, want) {
		t.Errorf("import %+v\nwant %+v", i.Spec, want)
	}
	w.expectClusters(own)
	if c := i.Status.Conditions; len(c) != 1 || c[0].Type != "Ready" || c[0].Status != metav1.ConditionTrue {
		t.Errorf("conditions %+v", c)
	}

	mirrored := w.slices()[own]
	if len(mirrored) != 1 {
		t.Fatalf("%d slices", len(mirrored))
	}
	s := mirrored[0]
	if s.Labels[discoveryv1.LabelManagedBy] != v1alpha1.ManagedBy || s.Labels[discoveryv1.LabelServiceName] != "" ||
		len(s.OwnerReferences) != 1 || s.OwnerReferences[0].Kind != "ServiceImport" ||
		len(s.Endpoints) != 1 || s.Endpoints[0].Addresses[0] != "10.244.0.5" || *s.Endpoints[0].Zone != "z1" || *s.Ports[0].Port != 8080 {
		t.Errorf("slice %+v", s)
	}
	for kind, want := range map[mcsv1beta1.ServiceExportConditionType]string{
		"Valid": "True/Valid", "Ready": "True/Exported", "Conflict": "False/NoConflicts",
	} {
		if got := w.exportCondition(kind); got != want {
			t.Errorf("%s %s, want %s", kind, got, want)
		}
	}

	if again := w.reconcile(); len(again) > 0 {
		t.Errorf("wrote again: %v", again)
	}
	w.remove(&mcsv1beta1.ServiceExport{}, "default", "shop")
	w.reconcile()
	w.nothingImported()
}

func TestPodsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopPods, shopExport)
	w.reconcile()
	edit(w, &discoveryv1.EndpointSlice{}, "default", "shop-abc", func(s *discoveryv1.EndpointSlice) {
		no := false
		s.Endpoints[0].Conditions.Ready = &no
	})
	if written := w.reconcile(); len(written) != 1 || !strings.HasPrefix(written[0], "apply EndpointSlice") {
		t.Errorf("wrote %v", written)
	}
	if s := w.slices()[own][0]; *s.Endpoints[0].Conditions.Ready {
		t.Error("still ready")
	}
	w.remove(&discoveryv1.EndpointSlice{}, "default", "shop-abc")
	w.reconcile()
	if s := w.slices(); len(s) > 0 {
		t.Errorf("slices %v", s)
	}
	w.expectClusters(own) // an export without endpoints is one
}

func TestInvalidExports(t *testing.T) {
	t.Parallel()
	t.Run("no Service", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shopExport)
		w.reconcile()
		if v, r := w.exportCondition("Valid"), w.exportCondition("Ready"); v != "False/NoService" || r != "False/Failed" {
			t.Errorf("Valid %s, Ready %s", v, r)
		}
		w.nothingImported()
		w.create(shop)
		w.reconcile()
		if v := w.exportCondition("Valid"); v != "True/Valid" {
			t.Errorf("Valid %s", v)
		}
		w.expectClusters(own)
		w.remove(&corev1.Service{}, "default", "shop")
		w.reconcile()
		w.nothingImported()
	})
	t.Run("ExternalName", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shopExport, `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: default}
spec: {type: ExternalName, externalName: example.com}
`)
		w.reconcile()
		if v := w.exportCondition("Valid"); v != "False/InvalidServiceType" {
			t.Errorf("Valid %s", v)
		}
		w.nothingImported()
	})
	t.Run("import of another implementation", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shop, shopExport, `
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceImport
metadata: {name: shop, namespace: default}
spec: {type: ClusterSetIP, ports: [], ips: [192.0.2.1]}
`)
		w.reconcile()
		if i := w.serviceImport(); i.Spec.IPs[0] != "192.0.2.1" || len(i.Status.Clusters) > 0 {
			t.Errorf("changed: %+v", i)
		}
		if r := w.exportCondition("Ready"); r != "False/Failed" {
			t.Errorf("Ready %s", r)
		}
		if n := len(w.derived(v1alpha1.DerivedImport)); n > 0 {
			t.Errorf("%d derived Services", n)
		}
	})
}

// What peers export appears where the namespace is, and goes when the last of them takes it back.
func TestPeerExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA, peerB)
	w.restart()
	w.remove(&corev1.Namespace{}, "", "default")
	w.tell("a", remote(1))
	w.tell("b", remote(2))
	w.reconcile()
	w.nothingImported()

	w.create("{apiVersion: v1, kind: Namespace, metadata: {name: default}}")
	w.reconcile()
	w.expectClusters("a", "b")
	s := w.slices()
	if len(s["a"]) != 1 || len(s["b"]) != 1 {
		t.Fatalf("slices %v", s)
	}
	ip := w.serviceImport().Spec.IPs[0]
	if e := s["a"][0].Endpoints; len(e) != 1 || e[0].Addresses[0] != ip || !*e[0].Conditions.Ready || *s["a"][0].Ports[0].Port != 80 {
		t.Errorf("slice of a: %+v", s["a"][0])
	}

	// Readiness shows in the slice and nowhere else.
	w.tell("a", remote(1, func(e *discovery.PeerExport) { e.Readiness[0].Ready = 0 }))
	if written := w.reconcile(); len(written) != 1 {
		t.Errorf("wrote %v", written)
	}
	if *w.slices()["a"][0].Endpoints[0].Conditions.Ready {
		t.Error("a is still ready")
	}
	w.tell("a", remote(1, func(e *discovery.PeerExport) { e.Readiness[0].Ready, e.Readiness[0].Terminating = 0, 1 }))
	w.reconcile()
	if !*w.slices()["a"][0].Endpoints[0].Conditions.Ready {
		t.Error("a is not ready, though it takes calls until its last pod is gone")
	}

	w.tell("a")
	w.reconcile()
	w.expectClusters("b")
	if w.serviceImport().Spec.IPs[0] != ip {
		t.Error("the address changed")
	}
	w.tell("b")
	w.reconcile()
	w.nothingImported()
}

// A cluster with both IP families has an address and a slice of each.
func TestDualStack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, peerA)
	w.dual = true
	w.restart()
	w.tell("a", remote(1))
	w.reconcile()
	i := w.serviceImport()
	if len(i.Spec.IPs) != 2 || !slices.Equal(i.Spec.IPFamilies, []corev1.IPFamily{"IPv4", "IPv6"}) || !strings.Contains(i.Spec.IPs[1], ":") {
		t.Errorf("%+v", i.Spec)
	}
	types := map[discoveryv1.AddressType]string{}
	for _, s := range w.slices()["a"] {
		types[s.AddressType] = s.Endpoints[0].Addresses[0]
	}
	if want := map[discoveryv1.AddressType]string{"IPv4": i.Spec.IPs[0], "IPv6": i.Spec.IPs[1]}; !maps.Equal(types, want) {
		t.Errorf("%v", types)
	}
}

// The older export decides; every exporter gets the condition, and loses it when the conflict is over.
func TestConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, peerA)
	w.restart()
	w.now = second(2)
	w.tell("a", remote(1, func(e *discovery.PeerExport) {
		e.Ports = append(e.Ports, discovery.ServicePort{Name: "admin", Port: 8081, Protocol: "TCP"})
	}))
	w.reconcile()
	w.create(shopExport)
	w.reconcile()
	i := w.serviceImport()
	var names []string
	for _, p := range i.Spec.Ports {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"http", "admin", "dns"}) || i.Spec.SessionAffinity != "None" || i.Spec.SessionAffinityConfig != nil ||
		i.Spec.TrafficDistribution != nil {
		t.Errorf("ports %v, spec %+v", names, i.Spec)
	}
	want := "True/PortConflict,SessionAffinityConflict,TrafficDistributionConflict"
	if got := w.exportCondition("Conflict"); got != want {
		t.Errorf("Conflict %s, want %s", got, want)
	}
	w.tell("a")
	w.reconcile()
	if got := w.exportCondition("Conflict"); got != "False/NoConflicts" {
		t.Errorf("Conflict %s", got)
	}
}

func mcsEqual(a, b mcsv1beta1.ServiceImportSpec) bool {
	return apiEqual(a, b)
}
