package gateway_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/gateway"
)

// All Gateways may have the same ports; each keeps its numbers, and those of one that is gone are used again.
func TestNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("a"), public("b"), public("c"))
	for _, name := range []string{"a", "b"} {
		w.reconcile(name)
	}
	want(t, "two", w.services(), "shop/a 80→20000", "shop/b 80→20001")
	w.restart(gateway.Settings{})
	w.editGateway("b", func(g *gatewayv1.Gateway) {
		g.Spec.Listeners = append(g.Spec.Listeners, gatewayv1.Listener{Name: "more", Port: 8080, Protocol: gatewayv1.HTTPProtocolType})
	})
	w.reconcile("b")
	want(t, "one more port", w.services(), "shop/a 80→20000", "shop/b 80→20001 8080→20002")
	w.remove(&gatewayv1.Gateway{}, "shop", "a")
	w.reconcile("c")
	want(t, "the Service is still there", w.services(), "shop/a 80→20000", "shop/b 80→20001 8080→20002", "shop/c 80→20003")
	w.reconcile("a")
	w.editGateway("b", func(g *gatewayv1.Gateway) { g.Spec.Listeners[0].Port = 81 })
	w.reconcile("b")
	want(t, "used again", w.services(), "shop/b 81→20000 8080→20002", "shop/c 80→20003")
}

// A cache that lags behind gives no number twice, and finds the own ones.
func TestNumbersAreChosenByTheAPIServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("a"), public("b"))
	w.reconcile("a")
	// It has everything but the Services of Gateways.
	lagging := fake.NewClientBuilder().WithScheme(w.c.Scheme()).Build()
	for _, m := range []string{"a", "b"} {
		var g gatewayv1.Gateway
		if err := w.c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: m}, &g); err != nil {
			t.Fatal(err)
		}
		g.ResourceVersion = ""
		if err := lagging.Create(t.Context(), &g); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []*corev1.Service{{}} {
		if err := w.c.Get(t.Context(), types.NamespacedName{Namespace: system, Name: "eastway-entry"}, o); err != nil {
			t.Fatal(err)
		}
		o.ResourceVersion = ""
		if err := lagging.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := lagging.Create(t.Context(), &gatewayv1.GatewayClass{
		ObjectMeta: metav1.ObjectMeta{Name: "eastway"}, Spec: gatewayv1.GatewayClassSpec{ControllerName: "eastway.dev/entry"},
	}); err != nil {
		t.Fatal(err)
	}
	w.cache = lagging
	w.restart(gateway.Settings{})
	for _, name := range []string{"b", "a"} {
		if _, err := w.try(name); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "numbers", w.services(), "shop/a 80→20000", "shop/b 80→20001")
	w.cache = nil
	w.restart(gateway.Settings{})
	w.direct = 0
	if writes := w.reconcile("a"); len(writes) > 0 || w.direct > 0 {
		t.Errorf("nothing has changed: %v, %d lists", writes, w.direct)
	}
}

func TestTwoServicesWithOneNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("a"), public("b"))
	w.reconcile("a")
	w.reconcile("b")
	for _, s := range w.list() {
		edit(w, &corev1.Service{}, system, s.Name, func(s *corev1.Service) {
			s.Spec.Ports[0].TargetPort = intstr.FromInt32(20007)
			if s.Labels[gatewayv1.GatewayNameLabelKey] == "a" {
				s.CreationTimestamp = metav1.Unix(1_800_000_000, 0)
			} else {
				s.CreationTimestamp = metav1.Unix(1_700_000_000, 0)
			}
		})
	}
	w.reconcile("a")
	w.reconcile("b")
	want(t, "the older one keeps it", w.services(), "shop/a 80→20000", "shop/b 80→20007")
}

func TestExhausted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, public("late", "{name: a, port: 80, protocol: HTTP}", "{name: b, port: 81, protocol: HTTP}"))
	full := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "full", Labels: map[string]string{
		gatewayv1.GatewayNameLabelKey: "full", v1alpha1.GatewayNamespaceLabel: "other",
	}}}
	w.r.Within(20000, 20009)
	for i := range int32(10) {
		full.Spec.Ports = append(full.Spec.Ports, corev1.ServicePort{Port: i + 1, TargetPort: intstr.FromInt32(20000 + i)})
	}
	if err := w.c.Create(t.Context(), &full); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if result, err := w.try("late"); err != nil || result.RequeueAfter <= 0 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	if e := w.event(); !strings.Contains(e, "Warning PortsExhausted") || !strings.Contains(e, "[80 81]") {
		t.Errorf("event %q", e)
	}
	if e := w.event(); e != "" {
		t.Errorf("again: %q", e)
	}
	if len(w.list()) != 1 {
		t.Error("there is a Service without a port")
	}
	w.states("failed")
	edit(w, &corev1.Service{}, system, "full", func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:9] })
	w.reconcile("late")
	if e := w.event(); !strings.Contains(e, "port [81]") {
		t.Errorf("event %q", e)
	}
	edit(w, &corev1.Service{}, system, "full", func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:8] })
	w.reconcile("late")
	if got := w.services(); got[1] != "shop/late 80→20009 81→20008" {
		t.Errorf("%v", got)
	}
	w.states("waiting")
}
