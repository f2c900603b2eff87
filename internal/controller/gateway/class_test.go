package gateway_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/controller/gateway"
)

// Gateways of others cost nothing, and what their controllers wrote stays.
func TestOthersGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{}, strings.ReplaceAll(public("theirs"), "gatewayClassName: eastway", "gatewayClassName: nginx"), `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: nginx}
spec: {controllerName: example.com/nginx}
`)
	if writes := w.reconcile("theirs"); len(writes) > 0 {
		t.Errorf("%v", writes)
	}
	_, err := w.classes.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "nginx"}})
	if err != nil || len(w.writes) > 0 {
		t.Errorf("%v, %v", w.writes, err)
	}
	w.states()
}

func TestClass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, gateway.Settings{})
	status := func() gatewayv1.GatewayClassStatus {
		w.writes = nil
		for range 2 {
			if _, err := w.classes.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "eastway"}}); err != nil {
				t.Fatal(err)
			}
		}
		var c gatewayv1.GatewayClass
		if err := w.c.Get(t.Context(), types.NamespacedName{Name: "eastway"}, &c); err != nil {
			t.Fatal(err)
		}
		return c.Status
	}
	expect := func(status gatewayv1.GatewayClassStatus, want string, generation int64, writes int) {
		t.Helper()
		if len(status.Conditions) != 1 {
			t.Fatalf("%+v", status)
		}
		c := status.Conditions[0]
		got := c.Type + " " + string(c.Status) + " " + c.Reason
		if got != want || c.ObservedGeneration != generation || c.LastTransitionTime.IsZero() {
			t.Errorf("%+v, want %s", c, want)
		}
		if len(w.writes) != writes || len(status.SupportedFeatures) != len(gateway.SupportedFeatures()) {
			t.Errorf("writes %v, features %v", w.writes, status.SupportedFeatures)
		}
	}
	expect(status(), "Accepted True Accepted", 2, 1)
	expect(status(), "Accepted True Accepted", 2, 0)
	changeClass(w, func(c *gatewayv1.GatewayClass) {
		c.Generation, c.Spec.ParametersRef = 3, &gatewayv1.ParametersReference{Kind: "X", Name: "x"}
	})
	expect(status(), "Accepted False InvalidParameters", 3, 1)
	changeClass(w, func(c *gatewayv1.GatewayClass) { c.Generation, c.Spec.ParametersRef = 4, nil })
	expect(status(), "Accepted True Accepted", 4, 1)
	w.remove(&gatewayv1.GatewayClass{}, "", "eastway")
	if _, err := w.classes.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "eastway"}}); err != nil {
		t.Error(err)
	}
}
