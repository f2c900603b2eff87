package kube

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A GRPCRoute counts as an HTTPRoute does: with the backends and the mirrors that it names.
func TestGRPCRoutes(t *testing.T) {
	t.Parallel()
	const grpc = `{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: calls, namespace: shop}, spec: {
  parentRefs: [{name: public}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: unused, port: 80}}}],
  backendRefs: [{name: calls, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: foreign, namespace: shop}, spec: {parentRefs: [{name: foreign}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: far, namespace: depot}, spec: {
  parentRefs: [{name: public, namespace: shop}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: calls, namespace: shop}, spec: {clusterIP: 10.0.0.4, ports: [{port: 80}]}}`
	following(t, func(l *lab) { l.apply(class, gateway, belongings, secrets, grpc) }, func(l *lab) {
		got := l.names()
		more := []string{"grpcroute shop/calls", "grpcroute depot/far", "service shop/calls", "service shop/unused", "namespace depotmap[]"}
		for _, want := range append(all(), more...) {
			if !slices.Contains(got, want) {
				t.Errorf("%q\nwithout %s", got, want)
			}
		}
		if len(got) != len(all())+len(more) {
			t.Errorf("%q", got)
		}
	})
}

// BackendTLSPolicies of backends count, and no ConfigMap is read that none of them names.
func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	policy := func(name, target, configMap string) string {
		return fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: %s, namespace: shop}, spec: {
  targetRefs: [{group: "", kind: Service, name: %s}], validation: {hostname: a.example,
  caCertificateRefs: [{group: "", kind: ConfigMap, name: %s}]}}}`,
			name, target, configMap)
	}
	const maps = `{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: shop}, data: {ca.crt: a, more: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: shop}, data: {ca.crt: c}}`
	follow := func(l *lab) {
		l.apply(class, gateway, belongings, secrets, policy("p", "cart", "ca"), policy("unused", "unused", "other"), maps)
	}
	following(t, follow, func(l *lab) {
		want := slices.Insert(all(), 8, "tlspolicy shop/p", "configmap shop/ca map[ca.crt:a]")
		l.expect("at the start", want...)
		before, _ := l.Read()
		l.apply(strings.ReplaceAll(maps, "more: b", "more: c"))
		if after, _ := l.Read(); after != before {
			t.Error("another key made new manifests")
		}
		l.apply(strings.ReplaceAll(maps, "ca.crt: a", "ca.crt: z"))
		want[9] = "configmap shop/ca map[ca.crt:z]"
		l.expect("changed", want...)
		for request := range l.read {
			if strings.HasPrefix(request, "configmaps") && request != "configmaps metadata.name=ca" {
				t.Errorf("request for %q", request)
			}
		}
		l.apply(policy("p", "unused", "ca"))
		l.expect("for no backend any more", all()...)
		if len(l.roots) != 0 {
			t.Error("a ConfigMap that no policy in use names is still followed")
		}
	})
	following(t, func(l *lab) {
		l.answer("configmaps", apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "ca", errors.New("no")))
		follow(l)
	}, func(l *lab) {
		got := strings.Join(l.names(), "\n")
		if !strings.Contains(got, "tlspolicy shop/p") || !strings.Contains(got, "ConfigMap shop/ca: the API server does not allow to list it: "+
			"allow the entry's service account get, list and watch of ConfigMap ca in namespace shop") {
			t.Errorf("without the right: %s", got)
		}
	})
}

// Endpoints of a headless Service are followed while a route names it, and not those of other Services.
func TestHeadless(t *testing.T) {
	t.Parallel()
	slice := func(name, service, ready string) string {
		return fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, namespace: shop,
  labels: {kubernetes.io/service-name: %s}}, addressType: IPv4, ports: [{port: 80}], endpoints: [
  {addresses: [192.0.2.1], nodeName: a, conditions: {ready: %s}}]}`, name, service, ready)
	}
	headless := strings.ReplaceAll(belongings, "clusterIP: 10.0.0.1", "clusterIP: None")
	following(t, func(l *lab) {
		l.apply(class, gateway, headless, secrets)
		l.apply(slice("cart-a", "cart", "true"), slice("copy-a", "copy", "true"), slice("unused-a", "unused", "true"))
	}, func(l *lab) {
		want := slices.Insert(all(), 8, "slice shop/cart-a")
		l.expect("at the start", want...)
		before, _ := l.Read()
		l.apply(strings.ReplaceAll(slice("cart-a", "cart", "true"), "nodeName: a", "nodeName: b"))
		if after, _ := l.Read(); after != before {
			t.Error("the node of an endpoint made new manifests")
		}
		l.apply(strings.ReplaceAll(slice("cart-a", "cart", "true"), "192.0.2.1", `"::ffff:127.0.0.1"`))
		if after, _ := l.Read(); len(after.Slices[0].Endpoints[0].Addresses) != 0 {
			t.Error("an endpoint of this process itself")
		}
		l.apply(slice("cart-a", "cart", "false"))
		if after, _ := l.Read(); *after.Slices[0].Endpoints[0].Conditions.Ready {
			t.Error("an endpoint that is not ready any more")
		}
		for request := range l.read {
			if name, ok := strings.CutPrefix(request, "endpointslices kubernetes.io/service-name="); ok && name != "cart" && name != "entry" {
				t.Errorf("request for %q", request)
			}
		}
		open := l.watches()
		l.apply(belongings)
		l.expect("with a cluster IP", all()...)
		if l.watches() != open-1 || len(l.slices) != 0 {
			t.Error("a Service that is not headless any more is still followed")
		}
	})
	following(t, func(l *lab) {
		l.answer("endpointslices", apierrors.NewForbidden(schema.GroupResource{Resource: "endpointslices"}, "", errors.New("no")))
		l.apply(class, gateway, headless, secrets)
	}, func(l *lab) {
		got := strings.Join(l.names(), "\n")
		if !strings.Contains(got, "route shop/cart") || !strings.Contains(got, "EndpointSlice: the API server does not allow to list "+
			"endpointslices.discovery.k8s.io: allow the entry's service account get, list and watch of it in namespace shop") {
			t.Errorf("without the right: %s", got)
		}
	})
}

// A Gateway names a Secret for backends, and ConfigMaps for its clients.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	both := strings.Replace(gateway, "gatewayClassName: web,", `gatewayClassName: web, tls: {
  backend: {clientCertificateRef: {name: client}}, frontend: {default: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}},
  perPort: [{port: 8443, tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: far, namespace: depot}]}}}]}},`, 1)
	const more = `{apiVersion: v1, kind: ConfigMap, metadata: {name: ca, namespace: shop}, data: {ca.crt: a}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: far, namespace: depot}, data: {ca.crt: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other, namespace: depot}, data: {ca.crt: c}}
---
{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: client, namespace: shop}, data: {tls.crt: YQ==, tls.key: Yw==}}`
	following(t, func(l *lab) { l.apply(class, both, belongings, secrets, more) }, func(l *lab) {
		want := slices.Insert(all(), 9, "secret shop/client ac")
		want = slices.Insert(want, 8, "configmap depot/far map[ca.crt:b]", "configmap shop/ca map[ca.crt:a]")
		l.expect("at the start", want...)
	})
}

// Where objects name too much, each namespace has its share, whichever is older or names more, and whatever it names of others.
func TestShared(t *testing.T) {
	t.Parallel()
	of := func(name string) types.NamespacedName { return types.NamespacedName{Namespace: "victim", Name: name} }
	var refs []reference
	for i := range 9 {
		refs = append(refs, reference{types.NamespacedName{Namespace: "evil", Name: fmt.Sprint(i)}, "evil"})
	}
	refs = append(refs, reference{of("theirs"), "evil"}, reference{of("mine"), "victim"}, reference{of("theirs"), "victim"})
	names, all := shared(refs, 5)
	if all != 11 || len(names) != 5 || !names[of("mine")] || !names[of("theirs")] {
		t.Errorf("%d of %d: %v", len(names), all, names)
	}
	if names, all := shared(refs, 11); all != 11 || len(names) != 11 {
		t.Errorf("%d of %d with room for all", len(names), all)
	}
}
