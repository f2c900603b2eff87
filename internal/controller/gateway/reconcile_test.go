package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/gateway"
)

// public is a Gateway of that name with these listeners.
func public(name string, listeners ...string) string {
	if len(listeners) == 0 {
		listeners = []string{"{name: http, port: 80, protocol: HTTP}"}
	}
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s, namespace: shop, uid: uid-%.20s}
spec: {gatewayClassName: eastway, listeners: [%s]}
`, name, name, strings.Join(listeners, ", "))
}

func TestService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{LoadBalancerClass: "example.com/nlb"}, public("public",
		"{name: https, port: 443, protocol: HTTPS, hostname: a.example.com}", "{name: more, port: 443, protocol: HTTPS}",
		"{name: http, port: 80, protocol: HTTP}", "{name: db, port: 5432, protocol: TCP}", "{name: dns, port: 53, protocol: UDP}"))
	w.reconcile("public")
	s := w.service()
	wantLabels := map[string]string{
		"app.kubernetes.io/managed-by": "eastway", "gateway.networking.k8s.io/gateway-name": "public",
		"gateway.networking.k8s.io/gateway-class-name": "eastway", "eastway.dev/gateway-namespace": "shop", "eastway.dev/gateway-uid": "uid-public",
	}
	if !equality.Semantic.DeepEqual(s.Labels, wantLabels) || len(s.Annotations) > 0 {
		t.Errorf("labels %v, annotations %v", s.Labels, s.Annotations)
	}
	if len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID != "role" || !strings.HasPrefix(s.Name, "ew-public-gateway-") {
		t.Errorf("%s, owners %+v", s.Name, s.OwnerReferences)
	}
	class, dual := "example.com/nlb", corev1.IPFamilyPolicyPreferDualStack
	spec := corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, LoadBalancerClass: &class, IPFamilyPolicy: &dual,
		ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, Selector: map[string]string{"app.kubernetes.io/component": "entry"},
		Ports: []corev1.ServicePort{
			{Name: "port-80", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(20000)},
			{Name: "port-443", Port: 443, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(20001)},
		},
	}
	if !equality.Semantic.DeepEqual(s.Spec, spec) {
		t.Errorf("%+v", s.Spec)
	}
	w.states("waiting")
}

func TestServiceOfOtherTypes(t *testing.T) {
	t.Parallel()
	for kind, policy := range map[corev1.ServiceType]corev1.ServiceExternalTrafficPolicy{
		corev1.ServiceTypeClusterIP: "", corev1.ServiceTypeNodePort: corev1.ServiceExternalTrafficPolicyLocal,
	} {
		w := newWorld(t, gateway.Settings{Type: kind, LoadBalancerClass: "example.com/nlb"}, public("public"))
		w.reconcile("public")
		if s := w.service(); s.Spec.Type != kind || s.Spec.ExternalTrafficPolicy != policy || s.Spec.LoadBalancerClass != nil {
			t.Errorf("%s: %+v", kind, s.Spec)
		}
	}
}

func TestInfrastructure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.editGateway("public", func(g *gatewayv1.Gateway) {
		g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{
			Labels: map[gatewayv1.LabelKey]gatewayv1.LabelValue{
				"team": "web", "eastway.dev/gateway-uid": "x", "eastway.dev/derived": "import",
				"app.kubernetes.io/managed-by": "me", "gateway.networking.k8s.io/gateway-name": "other",
			},
			Annotations: map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{
				"example.com/balancer": "internal", "eastway.dev/takeover": "true", "eastway.dev/infrastructure": "",
			},
		}
	})
	w.reconcile("public")
	s := w.service()
	if s.Labels["team"] != "web" || s.Labels["eastway.dev/gateway-uid"] != "uid-public" || s.Labels["app.kubernetes.io/managed-by"] != "eastway" ||
		s.Labels["gateway.networking.k8s.io/gateway-name"] != "public" || s.Annotations["example.com/balancer"] != "internal" {
		t.Errorf("%v, %v", s.Labels, s.Annotations)
	}
	for _, key := range []string{"eastway.dev/derived", "eastway.dev/takeover"} {
		if s.Labels[key]+s.Annotations[key] != "" {
			t.Errorf("%s is Eastway's: %v, %v", key, s.Labels, s.Annotations)
		}
	}
	w.editGateway("public", func(g *gatewayv1.Gateway) {
		g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{
			Labels: map[gatewayv1.LabelKey]gatewayv1.LabelValue{"team": "store"},
		}
	})
	w.reconcile("public")
	if s := w.service(); s.Labels["team"] != "store" || s.Annotations["example.com/balancer"] != "" {
		t.Errorf("changed: %v, %v", s.Labels, s.Annotations)
	}
	w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Infrastructure = nil })
	w.reconcile("public")
	if s := w.service(); s.Labels["team"] != "" || len(s.Annotations) > 0 {
		t.Errorf("removed: %v, %v", s.Labels, s.Annotations)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*corev1.Service){
		"label":          func(s *corev1.Service) { s.Labels["eastway.dev/gateway-uid"] = "x" },
		"label removed":  func(s *corev1.Service) { delete(s.Labels, gatewayv1.GatewayNameLabelKey) },
		"owner":          func(s *corev1.Service) { s.OwnerReferences = nil },
		"type":           func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort },
		"selector":       func(s *corev1.Service) { s.Spec.Selector["app.kubernetes.io/component"] = "proxy" },
		"traffic policy": func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster },
		"port":           func(s *corev1.Service) { s.Spec.Ports[0].Name = "http" },
		"target port":    func(s *corev1.Service) { s.Spec.Ports[0].TargetPort = intstr.FromInt32(15080) },
		"annotation":     func(s *corev1.Service) { s.Annotations["example.com/a"] = "2" },
	} {
		w := newWorld(t, gateway.Settings{}, public("public"))
		w.editGateway("public", func(g *gatewayv1.Gateway) {
			g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{
				Annotations: map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue{"example.com/a": "1"},
			}
		})
		w.reconcile("public")
		was := w.service()
		edit(w, &corev1.Service{}, system, was.Name, change)
		if writes := w.reconcile("public"); len(writes) != 1 {
			t.Errorf("%s: %v", name, writes)
		}
		if is := w.service(); !equality.Semantic.DeepEqual(is.Spec, was.Spec) || !equality.Semantic.DeepEqual(is.Labels, was.Labels) ||
			!equality.Semantic.DeepEqual(is.Annotations, was.Annotations) || len(is.OwnerReferences) != 1 {
			t.Errorf("%s is not repaired: %+v", name, is)
		}
	}
}

// A balancer's class cannot change. A Service that has another one gets all other changes.
func TestOtherBalancerClass(t *testing.T) {
	t.Parallel()
	class := func(s *corev1.Service) string {
		if s.Spec.LoadBalancerClass == nil {
			return ""
		}
		return *s.Spec.LoadBalancerClass
	}
	for _, first := range []string{"", "example.com/first"} {
		w := newWorld(t, gateway.Settings{LoadBalancerClass: first}, public("public"))
		w.reconcile("public")
		w.restart(gateway.Settings{LoadBalancerClass: "example.com/second"})
		if writes := w.reconcile("public"); len(writes) > 0 {
			t.Errorf("%v", writes)
		}
		w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Listeners[0].Port = 81 })
		w.reconcile("public")
		if s := w.service(); class(s) != first || s.Spec.Ports[0].Port != 81 {
			t.Errorf("%+v", s.Spec)
		}
		w.restart(gateway.Settings{Type: corev1.ServiceTypeClusterIP})
		w.reconcile("public")
		if s := w.service(); class(s) != "" || s.Spec.Type != corev1.ServiceTypeClusterIP {
			t.Errorf("%+v", s.Spec)
		}
		w.restart(gateway.Settings{LoadBalancerClass: "example.com/second"})
		w.reconcile("public")
		if s := w.service(); class(s) != "example.com/second" {
			t.Errorf("%+v", s.Spec)
		}
	}
}

// What balancers and others add stays, and costs no writes.
func TestAdditionsStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.reconcile("public")
	edit(w, &corev1.Service{}, system, w.service().Name, func(s *corev1.Service) {
		class := "example.com/default"
		s.Annotations, s.Labels["theirs"] = map[string]string{"example.com/id": "7"}, "1"
		s.Finalizers, s.Spec.LoadBalancerClass = []string{"service.kubernetes.io/load-balancer-cleanup"}, &class
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "theirs", Port: 9, TargetPort: intstr.FromInt32(20009)})
		s.Spec.ClusterIP = "10.0.0.1"
	})
	if writes := w.reconcile("public"); len(writes) > 0 {
		t.Errorf("%v", writes)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end   func(*world)
		stays bool
	}{
		"Gateway": {end: func(w *world) { w.remove(&gatewayv1.Gateway{}, "shop", "public") }},
		"class":   {end: func(w *world) { w.remove(&gatewayv1.GatewayClass{}, "", "eastway") }},
		"Gateway leaves": {end: func(w *world) {
			w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.GatewayClassName = "other" })
		}},
		"class of another": {end: func(w *world) {
			changeClass(w, func(c *gatewayv1.GatewayClass) { c.Spec.ControllerName = "example.com/other" })
		}},
		"without its label": {stays: true, end: func(w *world) {
			forget(w, func(s *corev1.Service) { delete(s.Labels, "app.kubernetes.io/managed-by") })
		}},
		"without its uid": {stays: true, end: func(w *world) {
			forget(w, func(s *corev1.Service) { delete(s.Labels, "eastway.dev/gateway-uid") })
		}},
		"class, of a Service without its uid": {stays: true, end: func(w *world) {
			w.remove(&gatewayv1.GatewayClass{}, "", "eastway")
			unmark(w, func(s *corev1.Service) { delete(s.Labels, "eastway.dev/gateway-uid") })
		}},
		"without its owner": {stays: true, end: func(w *world) { forget(w, func(s *corev1.Service) { s.OwnerReferences = nil }) }},
	} {
		w := newWorld(t, gateway.Settings{}, public("public"), public("other"))
		w.reconcile("public")
		w.balance("192.0.2.1")
		w.reconcile("public")
		w.reconcile("other")
		test.end(w)
		w.reconcile("public")
		w.reconcile("public")
		if test.stays {
			if len(w.list()) != 2 {
				t.Errorf("%s: %v", name, w.services())
			}
			continue
		}
		if strings.HasPrefix(strings.Join(w.services(), ""), "shop/public") {
			t.Errorf("%s: %v", name, w.services())
		}
		var g gatewayv1.Gateway
		err := w.c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "public"}, &g)
		if err == nil && len(g.Status.Addresses) > 0 {
			t.Errorf("%s: still has %v", name, w.addresses("public"))
		}
		w.states("waiting")
	}
}

func changeClass(w *world, change func(*gatewayv1.GatewayClass)) {
	edit(w, &gatewayv1.GatewayClass{}, "", "eastway", change)
}

// forget changes the Service of a Gateway that is gone.
func forget(w *world, change func(*corev1.Service)) {
	unmark(w, change)
	w.remove(&gatewayv1.Gateway{}, "shop", "public")
}

// unmark changes the Service of a Gateway.
func unmark(w *world, change func(*corev1.Service)) {
	for _, s := range w.list() {
		if s.Labels[gatewayv1.GatewayNameLabelKey] == "public" {
			edit(w, &corev1.Service{}, system, s.Name, change)
		}
	}
}

func TestAddressesFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.reconcile("public")
	want(t, "none yet", w.addresses("public"))
	w.states("waiting")
	w.balance("192.0.2.1", "2001:db8::1")
	if writes := w.reconcile("public"); len(writes) != 1 {
		t.Errorf("%v", writes)
	}
	want(t, "two", w.addresses("public"), "IPAddress 192.0.2.1", "IPAddress 2001:db8::1")
	w.states("addressed")
	w.balance()
	w.reconcile("public")
	want(t, "none any more", w.addresses("public"))
	w.states("waiting")
	edited := &gatewayv1.Gateway{}
	if err := w.c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "public"}, edited); err != nil {
		t.Fatal(err)
	}
	edited.Status.Addresses = []gatewayv1.GatewayStatusAddress{{Value: "198.51.100.1"}}
	edited.Status.Conditions = []metav1.Condition{{Type: "Accepted", Status: "True", Reason: "Accepted"}}
	if err := w.c.Status().Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	w.reconcile("public")
	want(t, "those of another controller", w.addresses("public"))
	err := w.c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "public"}, edited)
	if err != nil || len(edited.Status.Conditions) != 1 {
		t.Errorf("conditions are the entries': %+v, %v", edited.Status, err)
	}
}

// A Gateway that cannot be served gets no Service, and one that it has stays as it is.
func TestRefused(t *testing.T) {
	t.Parallel()
	kind := gatewayv1.AddressType("example.com/pool")
	for name, spoil := range map[string]func(*world){
		"static address": func(w *world) {
			w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Value: "192.0.2.7"}} })
		},
		"address of an unknown type": func(w *world) {
			w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Type: &kind}} })
		},
		"parameters": func(w *world) {
			w.editGateway("public", func(g *gatewayv1.Gateway) {
				g.Spec.Infrastructure = &gatewayv1.GatewayInfrastructure{ParametersRef: &gatewayv1.LocalParametersReference{Kind: "X", Name: "x"}}
			})
		},
		"parameters of the class": func(w *world) {
			changeClass(w, func(c *gatewayv1.GatewayClass) {
				c.Spec.ParametersRef = &gatewayv1.ParametersReference{Kind: "X", Name: "x"}
			})
		},
		"no listener": func(w *world) {
			w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Listeners[0].Protocol = gatewayv1.TCPProtocolType })
		},
	} {
		w := newWorld(t, gateway.Settings{}, public("public"))
		spoil(w)
		if writes := w.reconcile("public"); len(writes) > 0 {
			t.Errorf("%s: %v", name, writes)
		}
		w.states("refused")
		w = newWorld(t, gateway.Settings{}, public("public"))
		w.reconcile("public")
		spoil(w)
		if writes := w.reconcile("public"); len(writes) > 0 || len(w.list()) != 1 {
			t.Errorf("%s, with a Service: %v", name, writes)
		}
		w.states("refused")
	}
}

func TestAddressWithoutValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	kind := gatewayv1.IPAddressType
	w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Type: &kind}} })
	w.reconcile("public")
	w.balance("192.0.2.1")
	w.reconcile("public")
	want(t, "addresses", w.addresses("public"), "IPAddress 192.0.2.1")
}

func TestForeignService(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.reconcile("public")
	name := w.service().Name
	w.remove(&corev1.Service{}, system, name)
	theirs := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}},
	}
	if err := w.c.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if writes := w.reconcile("public"); len(writes) > 0 {
		t.Errorf("%v", writes)
	}
	if e := w.event(); !strings.Contains(e, "ServiceNameTaken") || !strings.Contains(e, name) {
		t.Errorf("event %q", e)
	}
	w.states("failed")
	w.remove(&gatewayv1.Gateway{}, "shop", "public")
	if writes := w.reconcile("public"); len(writes) > 0 {
		t.Errorf("%v", writes)
	}
	w.states()
}

// Names of Gateways may be longer than labels.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 40)
	w := newWorld(t, gateway.Settings{}, public(long+"a"), public(long+"b"))
	w.reconcile(long + "a")
	w.reconcile(long + "b")
	if got := w.services(); len(got) != 2 || !strings.HasSuffix(got[0], " 80→20000") && !strings.HasSuffix(got[1], " 80→20000") {
		t.Errorf("%v", got)
	}
	w.remove(&gatewayv1.Gateway{}, "shop", long+"a")
	w.reconcile(long + "a")
	if s := w.service(); !strings.HasSuffix(s.Labels[v1alpha1.GatewayUIDLabel], "a.") || len(s.Labels[gatewayv1.GatewayNameLabelKey]) > 63 {
		t.Errorf("%v", s.Labels)
	}
}

// A Gateway that is made again under its name keeps its address.
func TestReplacedGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.reconcile("public")
	w.balance("192.0.2.1")
	w.reconcile("public")
	w.remove(&gatewayv1.Gateway{}, "shop", "public")
	w.create(strings.ReplaceAll(public("public"), "uid-public", "new"))
	if writes := w.reconcile("public"); len(writes) != 2 {
		t.Errorf("%v", writes)
	}
	if s := w.service(); s.Labels[v1alpha1.GatewayUIDLabel] != "new" {
		t.Errorf("%v", s.Labels)
	}
	want(t, "addresses", w.addresses("public"), "IPAddress 192.0.2.1")
}

// A Service that is about to go is awaited: its balancer is taken down first.
func TestServiceThatGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.reconcile("public")
	w.balance("192.0.2.1")
	w.reconcile("public")
	name := w.service().Name
	edit(w, &corev1.Service{}, system, name, func(s *corev1.Service) { s.Finalizers = []string{"example.com/balancer"} })
	w.remove(&corev1.Service{}, system, name)
	if writes := w.reconcile("public"); len(writes) != 1 {
		t.Errorf("%v", writes)
	}
	want(t, "addresses", w.addresses("public"))
	w.editGateway("public", func(g *gatewayv1.Gateway) { g.Spec.Listeners[0].Port = 81 })
	if writes := w.reconcile("public"); len(writes) > 0 {
		t.Errorf("%v", writes)
	}
	edit(w, &corev1.Service{}, system, name, func(s *corev1.Service) { s.Finalizers = nil })
	w.reconcile("public")
	if s := w.service(); !s.DeletionTimestamp.IsZero() || s.Name != name {
		t.Errorf("%+v", s)
	}
}

func TestRefusedByTheAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	w.refuse = apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "x", nil)
	if result, err := w.try("public"); err != nil || result.RequeueAfter <= 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if e := w.event(); !strings.Contains(e, "ServiceInvalid") {
		t.Errorf("event %q", e)
	}
	w.states("failed")
	w.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "x", errors.New("no right"))
	if _, err := w.try("public"); !apierrors.IsForbidden(err) {
		t.Errorf("%v", err)
	}
	w.states("failed")
	w.refuse = nil
	w.reconcile("public")
	w.states("waiting")
}

func TestNoEntries(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("public"))
	edit(w, &corev1.Service{}, system, "eastway-entry", func(s *corev1.Service) { s.Spec.Selector = nil })
	if _, err := w.try("public"); err == nil || !strings.Contains(err.Error(), "has no selector") {
		t.Errorf("%v", err)
	}
	w.remove(&corev1.Service{}, system, "eastway-entry")
	if _, err := w.try("public"); err == nil || !strings.Contains(err.Error(), "--entry-service") {
		t.Errorf("%v", err)
	}
}
