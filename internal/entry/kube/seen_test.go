package kube

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/entry/route"
)

// Statuses are known of all Gateways and routes, once everything is; they make no new manifests.
func TestStatuses(t *testing.T) {
	t.Parallel()
	shown := func(l *lab) string {
		out := []string{}
		for _, o := range l.Statuses() {
			out = append(out, fmt.Sprintf("%s %s %s %d %d %d",
				o.Kind, o.Name.Name, o.Version, o.Generation, len(o.Gateway.Addresses), len(o.Parents)))
		}
		return strings.Join(out, ", ")
	}
	withStatus := func(manifests, name, status string) string {
		return strings.Replace(manifests, "metadata: {name: "+name,
			`status: `+status+`, metadata: {resourceVersion: "7", generation: 3, name: `+name, 1)
	}
	const before = "Gateway classless  0 0 0, Gateway foreign  0 0 0, Gateway public  0 0 0, HTTPRoute cart 7 3 0 1, HTTPRoute foreign  0 0 0"
	following(t, func(l *lab) {
		l.answer(grants, apierrors.NewForbidden(schema.GroupResource{Resource: grants}, "", errors.New("no")))
		l.answer(grpcRoutes, apierrors.NewNotFound(schema.GroupResource{Resource: grpcRoutes}, ""))
		l.apply(class, gateway, secrets, withStatus(belongings, "cart", `{parents: [{parentRef: {name: x}, controllerName: a/b, conditions: []}]}`))
	}, func(l *lab) {
		if m, _ := l.Read(); m == nil || l.Statuses() != nil {
			t.Errorf("while grants must not be read: %s", shown(l))
		}
		l.answer(grants, nil)
		bubble.Pass(patience)
		if got := shown(l); got != before {
			t.Errorf("%s, want %s", got, before)
		}
		l.apply(withStatus(strings.Replace(gateway, ", status: {addresses: []}", "", 1), "public", "{addresses: [{value: 192.0.2.1}]}"))
		want := strings.Replace(before, "Gateway public  0 0 0", "Gateway public 7 3 1 0", 1)
		if got := shown(l); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		l.apply(withStatus(strings.Replace(gateway, ", status: {addresses: []}", "", 1), "public", "{addresses: none}"))
		if got := shown(l); !strings.Contains(got, "Gateway public 7 3 0 0") {
			t.Errorf("a status without its form: %s", got)
		}
		gone := schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: gateways}
		if err := l.client.Resource(gone).Namespace("shop").Delete(t.Context(), "public", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Pass(time.Second)
		if got := shown(l); strings.Contains(got, "public") {
			t.Errorf("deleted: %s", got)
		}
	})
}

// The ports of Gateways are those that their Services say, and no others.
func TestBindings(t *testing.T) {
	t.Parallel()
	service := func(namespace, uid, ports string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: gw-%s, namespace: %s, labels: {eastway.dev/gateway-uid: %q}}, spec: {
  ports: [%s]}}`, uid, namespace, uid, ports)
	}
	owned := strings.Replace(gateway, "metadata: {name: public", "metadata: {uid: u1, name: public", 1)
	public := types.NamespacedName{Namespace: "shop", Name: "public"}
	following(t, func(l *lab) {
		l.namespace = "system"
		l.apply(class, owned, belongings, secrets)
	}, func(l *lab) {
		read := func() map[types.NamespacedName]route.Binding {
			m, _ := l.Read()
			return m.Bindings
		}
		if got := read(); got == nil || len(got) != 0 {
			t.Errorf("without a Service: %v", got)
		}
		l.apply(service("shop", "u1", "{port: 80, targetPort: 1}"), service("system", "u2", "{port: 80, targetPort: 2}"), service("system", "u1",
			"{port: 80, targetPort: 20000}, {port: 81, targetPort: 20001}, {port: 82, targetPort: http}, {port: 83, targetPort: 0}"))
		want := map[types.NamespacedName]route.Binding{public: {80: 20000, 81: 20001}}
		if got := read(); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
