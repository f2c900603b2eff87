package mcs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func apiEqual(a, b any) bool { return equality.Semantic.DeepEqual(a, b) }

func headless(pods ...discovery.Pod) func(*discovery.PeerExport) {
	return func(e *discovery.PeerExport) { e.Spec.Headless, e.Pods = true, pods }
}

// Own pods have their own addresses, remote ones those of Services that lead to exactly one pod each.
func TestHeadless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(shop, "clusterIP: 10.96.1.1", "clusterIP: None", 1), shopPods, shopExport, peerA)
	w.restart()
	w.tell("a", remote(20, headless(discovery.Pod{Hostname: "shop-0", Ready: true}, discovery.Pod{Hostname: "shop-1"})))
	w.reconcile()
	i := w.serviceImport()
	if i.Spec.Type != mcsv1beta1.Headless || len(i.Spec.IPs) > 0 || i.Spec.SessionAffinity != "None" {
		t.Errorf("import %+v", i.Spec)
	}
	pods := map[string]corev1.Service{}
	for _, d := range w.derived(v1alpha1.DerivedPod) {
		pods[d.Labels[v1alpha1.ClusterLabel]+"/"+d.Labels[v1alpha1.HostnameLabel]] = d
	}
	if len(pods) != 2 || len(w.derived(v1alpha1.DerivedImport)) > 0 {
		t.Fatalf("derived %v", pods)
	}
	if p := pods["a/shop-0"].Spec.Ports; len(p) != 1 || p[0].Port != 80 { // a has no port 53
		t.Errorf("ports %+v", p)
	}
	s := w.slices()
	if e := s["a"][0].Endpoints; len(e) != 2 || *e[0].Hostname != "shop-0" || !*e[0].Conditions.Ready ||
		e[0].Addresses[0] != pods["a/shop-0"].Spec.ClusterIP || *e[1].Conditions.Ready {
		t.Errorf("slice of a: %+v", e)
	}
	if e := s[own][0].Endpoints; len(e) != 1 || *e[0].Hostname != "shop-0" || e[0].Addresses[0] != "10.244.0.5" {
		t.Errorf("own slice: %+v", e)
	}
	before := pods["a/shop-0"].Spec.ClusterIP
	w.tell("a", remote(20, headless(discovery.Pod{Hostname: "shop-0"}, discovery.Pod{Hostname: "shop-2", Ready: true})))
	w.reconcile()
	e := w.slices()["a"][0].Endpoints
	if len(e) != 2 || e[0].Addresses[0] != before || *e[0].Conditions.Ready || *e[1].Hostname != "shop-2" {
		t.Errorf("slice of a: %+v", e)
	}
	if n := len(w.derived(v1alpha1.DerivedPod)); n != 2 {
		t.Errorf("%d derived", n)
	}
	w.remove(&mcsv1beta1.ServiceExport{}, "default", "shop")
	w.tell("a")
	w.reconcile()
	w.nothingImported()
}

// A headless import has the families of its pods' addresses here, also while there is no pod.
func TestHeadlessFamilies(t *testing.T) {
	t.Parallel()
	is := func(w *world, want ...corev1.IPFamily) {
		t.Helper()
		if got := w.serviceImport().Spec.IPFamilies; !slices.Equal(got, want) {
			t.Errorf("ipFamilies %v, want %v", got, want)
		}
	}
	w := newWorld(t, peerA)
	w.dual = true
	w.restart()
	w.tell("a", remote(1, headless()))
	w.reconcile()
	is(w)
	w.tell("a", remote(1, headless(discovery.Pod{Hostname: "shop-0", Ready: true})))
	w.reconcile()
	is(w, "IPv4", "IPv6")
	w.tell("a", remote(1, headless()))
	w.reconcile()
	is(w, "IPv4", "IPv6")

	own6 := strings.Replace(shop, "clusterIP: 10.96.1.1", "clusterIP: None\n  ipFamilies: [IPv6]", 1)
	w = newWorld(t, own6, shopExport, peerA)
	w.restart()
	w.reconcile()
	is(w, "IPv6")
	w.tell("a", remote(20, headless(discovery.Pod{Hostname: "shop-0", Ready: true}, discovery.Pod{Hostname: "shop-1", Ready: true})))
	w.reconcile()
	is(w, "IPv6", "IPv4")
}

// Who is headless is decided by the oldest export; when that one goes, the import becomes what the others are.
func TestHeadlessConflict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopPods, peerA)
	w.restart()
	w.now = second(2)
	w.tell("a", remote(1, headless(discovery.Pod{Hostname: "shop-0", Ready: true})))
	w.reconcile()
	w.create(shopExport)
	w.reconcile()
	if got := w.exportCondition("Conflict"); !strings.HasPrefix(got, "True/PortConflict,TypeConflict") {
		t.Errorf("Conflict %s", got)
	}
	if i := w.serviceImport(); i.Spec.Type != mcsv1beta1.Headless || len(i.Spec.IPs) > 0 {
		t.Errorf("import %+v", i.Spec)
	}
	w.tell("a")
	w.reconcile()
	if i := w.serviceImport(); i.Spec.Type != mcsv1beta1.ClusterSetIP || len(i.Spec.IPs) != 1 {
		t.Errorf("import %+v", i.Spec)
	}
	if n := len(w.derived(v1alpha1.DerivedPod)); n > 0 {
		t.Errorf("%d pods' Services", n)
	}
}

func TestTooManyPods(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(shop, "clusterIP: 10.96.1.1", "clusterIP: None", 1), shopExport, peerA)
	w.restart()
	var pods []discovery.Pod
	for i := range 300 {
		pods = append(pods, discovery.Pod{Hostname: fmt.Sprintf("shop-%03d", i), Ready: true})
	}
	w.tell("a", remote(20, headless(pods...)))
	// 256 Services are allowed, and there are 100 ports: a condition names it, nothing else breaks.
	if _, err := w.try(); err == nil || !strings.Contains(err.Error(), "no listener port is left") {
		t.Errorf("%v", err)
	}
	if r := w.exportCondition("Ready"); r != "False/Failed" {
		t.Errorf("Ready %s", r)
	}
}

// A taken-over Service has ports on the proxies whether or not a cluster exports it.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	annotate := func(value string) {
		edit(w, &corev1.Service{}, "default", "shop", func(s *corev1.Service) {
			s.Annotations = map[string]string{v1alpha1.TakeoverAnnotation: value}
		})
	}
	annotate("true")
	w.reconcile()
	d := w.derived(v1alpha1.DerivedTakeover)
	if len(d) != 1 || len(d[0].Spec.Ports) != 2 || d[0].Spec.Ports[0].TargetPort.IntVal < 20000 {
		t.Fatalf("derived %+v", d)
	}
	w.nothingImported()
	w.create(shopExport)
	w.reconcile()
	both := append(w.derived(v1alpha1.DerivedImport), w.derived(v1alpha1.DerivedTakeover)...)
	if len(both) != 2 || both[0].Spec.Ports[0].TargetPort == both[1].Spec.Ports[0].TargetPort {
		t.Errorf("import and takeover: %+v", both)
	}
	annotate("false")
	w.reconcile()
	if n := len(w.derived(v1alpha1.DerivedTakeover)); n > 0 {
		t.Errorf("%d left", n)
	}
	w.expectClusters(own)
}

// Node agents have to know whether calls would be refused without proxies, and are not to watch endpoints for it.
func TestTakeoverWithoutLocalEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(shop, "namespace: default}", `namespace: default, annotations: {eastway.dev/takeover: "true"}}`, 1), shopPods)
	expect := func(want string) {
		t.Helper()
		w.reconcile()
		d := w.derived(v1alpha1.DerivedTakeover)
		if len(d) != 1 || d[0].Annotations[v1alpha1.LocalEndpointsAnnotation] != want {
			t.Fatalf("derived %+v, want local endpoints: %s", d, want)
		}
		if again := w.reconcile(); len(again) > 0 {
			t.Errorf("nothing changed, but it wrote %q", again)
		}
	}
	ready := func(ready bool) {
		edit(w, &discoveryv1.EndpointSlice{}, "default", "shop-abc", func(s *discoveryv1.EndpointSlice) {
			s.Endpoints[0].Conditions.Ready = &ready
		})
	}
	expect(v1alpha1.SomeLocalEndpoints)
	ready(false)
	expect(v1alpha1.NoLocalEndpoints)
	ready(true)
	expect(v1alpha1.SomeLocalEndpoints)
	w.remove(&discoveryv1.EndpointSlice{}, "default", "shop-abc")
	expect(v1alpha1.NoLocalEndpoints)
}

func TestTakeoverRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(shop, "namespace: default}", `namespace: default, annotations: {eastway.dev/takeover: "true"}}`, 1))
	edit(w, &corev1.Service{}, "default", "shop", func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone })
	w.reconcile()
	if n := len(w.derived(v1alpha1.DerivedTakeover)); n > 0 {
		t.Errorf("%d derived", n)
	}
	select {
	case e := <-w.events.Events:
		if !strings.Contains(e, "TakeoverRefused") || !strings.Contains(e, "headless") {
			t.Errorf("event %q", e)
		}
	default:
		t.Error("no event")
	}
}

// A derived Service that was deleted comes back with its ports and the address that callers know.
func TestDerivedServiceComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopExport)
	w.reconcile()
	was := w.derived(v1alpha1.DerivedImport)[0]
	for _, restarted := range []bool{false, true} {
		if err := w.c.Delete(t.Context(), &was); err != nil {
			t.Fatal(err)
		}
		if restarted {
			w.restart() // the ports are gone with the object, the address is not
		}
		w.reconcile()
		is := w.derived(v1alpha1.DerivedImport)[0]
		if is.Spec.ClusterIP != was.Spec.ClusterIP || is.Spec.Ports[0].TargetPort != was.Spec.Ports[0].TargetPort {
			t.Errorf("restarted %t: %+v, was %+v", restarted, is.Spec, was.Spec)
		}
	}
	// An edit is undone.
	edit(w, &corev1.Service{}, system, was.Name, func(s *corev1.Service) { s.Spec.Ports[0].TargetPort.IntVal = 1 })
	w.reconcile()
	if is := w.derived(v1alpha1.DerivedImport)[0]; is.Spec.Ports[0].TargetPort != was.Spec.Ports[0].TargetPort {
		t.Errorf("%+v", is.Spec.Ports)
	}
}

func TestExportedWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopExport)
	export := func(labels, annotations map[string]string) {
		edit(w, &mcsv1beta1.ServiceExport{}, "default", "shop", func(e *mcsv1beta1.ServiceExport) {
			e.Spec.ExportedLabels, e.Spec.ExportedAnnotations = labels, annotations
		})
	}
	export(map[string]string{"tier": "gold", "app.kubernetes.io/managed-by": "x", "bad key": "x", "long": strings.Repeat("x", 64)},
		map[string]string{"note": "any text, of any length", "eastway.dev/export": "x"})
	w.reconcile()
	edit(w, &mcsv1beta1.ServiceImport{}, "default", "shop", func(i *mcsv1beta1.ServiceImport) { i.Labels["theirs"] = "1" })
	i := w.serviceImport()
	if i.Labels["tier"] != "gold" || i.Labels["app.kubernetes.io/managed-by"] != "eastway" || len(i.Labels) != 3 ||
		i.Annotations["note"] == "" || i.Annotations["eastway.dev/export"] != "" {
		t.Errorf("labels %v, annotations %v", i.Labels, i.Annotations)
	}
	export(nil, nil)
	w.reconcile()
	i = w.serviceImport()
	if i.Labels["tier"] != "" || i.Labels["theirs"] != "1" || i.Annotations["note"] != "" {
		t.Errorf("labels %v, annotations %v", i.Labels, i.Annotations)
	}
	export(nil, map[string]string{"much": strings.Repeat("x", 100<<10)})
	w.reconcile()
	if i := w.serviceImport(); i.Annotations["much"] != "" {
		t.Error("an annotation of 100 KiB is there")
	}
}

func TestProxiesServiceMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopExport)
	w.remove(&corev1.Service{}, system, "eastway-proxies")
	if _, err := w.try(); err == nil || !strings.Contains(err.Error(), "--proxies-service") {
		t.Errorf("%v", err)
	}
	if r := w.exportCondition("Ready"); r != "False/Failed" {
		t.Errorf("Ready %s", r)
	}
	w.create(`
apiVersion: v1
kind: Service
metadata: {name: eastway-proxies, namespace: eastway-system}
spec: {selector: {app: other}}
`)
	w.reconcile()
	if r := w.exportCondition("Ready"); r != "True/Exported" {
		t.Errorf("Ready %s", r)
	}
	edit(w, &corev1.Service{}, system, "eastway-proxies", func(s *corev1.Service) { s.Spec.Selector["app"] = "third" })
	w.reconcile()
	if got := w.derived(v1alpha1.DerivedImport)[0].Spec.Selector["app"]; got != "third" {
		t.Errorf("selector %s", got)
	}
}

// Slices that Kubernetes made of derived Services, and imports, are endpoints of no service.
func TestDerivedServiceIsNotExported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop, shopExport)
	w.reconcile()
	var all discoveryv1.EndpointSliceList
	if err := w.c.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, s := range all.Items {
		if s.Labels[discoveryv1.LabelServiceName] != "" {
			t.Errorf("slice %s says that it is of Service %s", s.Name, s.Labels[discoveryv1.LabelServiceName])
		}
	}
}
