package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/entry/route"
)

// patience is longer than two waits of a feed.
const patience = 15 * time.Second

const class = `{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: web}, spec: {controllerName: eastway.dev/entry}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: other}, spec: {controllerName: example.com/other}}
`

const gateway = `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: public, namespace: shop, annotations: {a: b}}, spec: {
  gatewayClassName: web, listeners: [{name: s, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}]}, status: {addresses: []}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: foreign, namespace: shop}, spec: {
  gatewayClassName: other, listeners: [{name: s, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: private}]}}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: classless, namespace: shop}, spec: {
  gatewayClassName: eastway, listeners: [{name: h, port: 80, protocol: HTTP}]}}
`

const belongings = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: cart, namespace: shop}, spec: {
  parentRefs: [{name: public}], rules: [{
  filters: [{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}],
  backendRefs: [{name: cart, port: 80}, {group: multicluster.x-k8s.io, kind: ServiceImport, name: stock, namespace: depot, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: foreign, namespace: shop}, spec: {parentRefs: [{name: foreign}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, metadata: {name: all, namespace: depot}, spec: {
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: multicluster.x-k8s.io, kind: ServiceImport}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: depot}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: copy, namespace: shop}, spec: {clusterIP: 10.0.0.2, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: unused, namespace: shop}, spec: {clusterIP: 10.0.0.3, ports: [{port: 80}]}}
---
{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceImport, metadata: {name: stock, namespace: depot}, spec: {
  type: ClusterSetIP, ips: [10.1.0.1], ports: [{port: 80}]}}
---
{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: limit, namespace: shop}, spec: {
  targetRef: {kind: Gateway, name: public}, rateLimit: {requestsPerUnit: 5, unit: Second}}}
---
{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: other, namespace: shop}, spec: {targetRef: {name: cart}}}
`

const secrets = `{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: cert, namespace: shop},
  data: {tls.crt: YQ==, tls.key: Yg==, more: Yw==}}
---
{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: private, namespace: shop}, data: {tls.crt: YQ==}}
`

func allResources() []*resource {
	var none types.NamespacedName
	return append(resources(), secret(none), endpoints(none), configMap(none))
}

// lab is a Source that follows a double of an API server.
type lab struct {
	*Source

	t      *testing.T
	client *fake.FakeDynamicClient

	mu     sync.Mutex
	refuse map[string]error // by "resource" or "resource.version"
	read   map[string]bool  // RESOURCE SELECTOR of lists and watches
	opened []watch.Interface
	away   atomic.Bool // watches are refused

	namespace string // of Config
}

// following runs the test in a bubble, with a Source that is stopped after it.
func following(t *testing.T, prepare, test func(*lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kinds := make(map[schema.GroupVersionResource]string)
		for _, r := range allResources() {
			for _, v := range r.versions {
				kinds[v.WithResource(r.name)] = r.kind + "List"
			}
		}
		l := &lab{
			t: t, client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds),
			refuse: make(map[string]error), read: make(map[string]bool),
		}
		l.client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
			selector := ""
			if list, ok := a.(clienttesting.ListAction); ok {
				selector = list.GetListRestrictions().Fields.String() + list.GetListRestrictions().Labels.String()
			}
			err := l.request(a, selector)
			return err != nil, nil, err
		})
		l.client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
			if l.away.Load() {
				return true, nil, syscall.ECONNREFUSED
			}
			w, err := l.client.Tracker().Watch(a.GetResource(), a.GetNamespace())
			l.mu.Lock()
			defer l.mu.Unlock()
			l.opened = append(l.opened, w)
			return true, w, err
		})
		prepare(l)
		l.Source = newSource(l.client, &Config{Service: types.NamespacedName{Namespace: "system", Name: "entry"}, Namespace: l.namespace})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		defer running.Wait()
		defer stop()
		bubble.Pass(time.Second)
		test(l)
	})
}

// request notes one and fails as it was made to.
func (l *lab) request(a clienttesting.Action, selector string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := a.GetResource().Resource
	l.read[strings.TrimSpace(name+" "+selector)] = true
	if err := l.refuse[name+"."+a.GetResource().Version]; err != nil {
		return err
	}
	return l.refuse[name]
}

// watches is how many are open.
func (l *lab) watches() (open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.opened {
		if made, ok := w.(*watch.RaceFreeFakeWatcher); ok && !made.IsStopped() {
			open++
		}
	}
	return open
}

func (l *lab) answer(name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse[name] = err
}

func (l *lab) at(u *unstructured.Unstructured) dynamic.ResourceInterface {
	gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, r := range allResources() {
		if r.kind == u.GetKind() {
			return l.client.Resource(gv.WithResource(r.name)).Namespace(u.GetNamespace())
		}
	}
	l.t.Fatalf("kind %s", u.GetKind())
	return nil
}

// apply writes manifests, and gives the Source time to see them.
func (l *lab) apply(manifests ...string) {
	l.t.Helper()
	for _, text := range manifests {
		for doc := range strings.SplitSeq(text, "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(doc), u); err != nil {
				l.t.Fatalf("%v: %s", err, doc)
			}
			_, err := l.at(u).Create(l.t.Context(), u.DeepCopy(), metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				_, err = l.at(u).Update(l.t.Context(), u, metav1.UpdateOptions{})
			}
			if err != nil {
				l.t.Fatal(err)
			}
		}
	}
	bubble.Pass(time.Second)
}

// names of what is there, and the problems.
func (l *lab) names() []string {
	m, problems := l.Read()
	out := []string{}
	if m == nil {
		return append(out, problems...)
	}
	add := func(kind string, o metav1.Object) { out = append(out, kind+" "+nameOf(o).String()) }
	for _, o := range m.Classes {
		add("class", o)
	}
	for _, o := range m.Gateways {
		add("gateway", o)
	}
	for _, o := range m.Routes {
		add("route", o)
	}
	for _, o := range m.GRPCRoutes {
		add("grpcroute", o)
	}
	for _, o := range m.Grants {
		add("grant", o)
	}
	for _, o := range m.Services {
		add("service", o)
	}
	for _, o := range m.Imports {
		add("import", o)
	}
	for _, o := range m.Policies {
		add("policy", o)
	}
	for _, o := range m.TLSPolicies {
		add("tlspolicy", o)
	}
	for _, o := range m.ConfigMaps {
		out = append(out, fmt.Sprintf("configmap %s %v", nameOf(o), o.Data))
	}
	for _, o := range m.Slices {
		add("slice", o)
	}
	for _, o := range m.Secrets {
		out = append(out, fmt.Sprintf("secret %s %s%s%s", nameOf(o), o.Data["tls.crt"], o.Data["tls.key"], o.Data["more"]))
	}
	for name, labels := range m.Namespaces {
		out = append(out, fmt.Sprint("namespace ", name, labels))
	}
	return append(out, problems...)
}

func (l *lab) expect(what string, want ...string) {
	l.t.Helper()
	if got := l.names(); !slices.Equal(got, want) {
		l.t.Errorf("%s:\n got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// all is what everything above is.
func all() []string {
	return []string{
		"class /web", "gateway shop/public", "route shop/cart", "grant depot/all", "service shop/cart", "service shop/copy", "import depot/stock",
		"policy shop/limit", "secret shop/cert ab", "namespace shopmap[team:a]",
	}
}

// What belongs to Eastway's Gateways is there, and no Secret is read that none of them names.
func TestFollow(t *testing.T) {
	t.Parallel()
	following(t, func(l *lab) { l.apply(class, gateway, belongings, secrets) }, func(l *lab) {
		l.expect("at the start", all()...)
		for request := range l.read {
			if strings.HasPrefix(request, "secrets") && request != "secrets metadata.name=cert" {
				t.Errorf("request for %q", request)
			}
		}
		before, _ := l.Read()
		l.apply(
			strings.ReplaceAll(gateway, "annotations: {a: b}", `annotations: {a: c}, resourceVersion: "7"`),
			strings.ReplaceAll(belongings, "10.0.0.3", "10.0.0.4"),
		)
		if after, _ := l.Read(); after != before {
			t.Error("what does not matter made new manifests")
		}
		l.apply(strings.ReplaceAll(class, "example.com/other", "eastway.dev/entry"))
		if got := l.names(); !slices.Contains(got, "gateway shop/foreign") || !slices.Contains(got, "route shop/foreign") {
			t.Errorf("class changed: %q", got)
		}
		open := l.watches()
		if got := l.names(); !slices.Contains(got, "secret shop/private ") {
			t.Errorf("data of a Secret that is not of TLS: %q", got)
		}
		l.apply(class)
		l.expect("changed back", all()...)
		if l.watches() != open-1 || len(l.secrets) != 1 {
			t.Error("a Secret that no listener names any more is still followed")
		}
		table, status := route.Compile(before)
		if len(table.Ports()) != 0 || len(status.Gateways) != 1 { // the certificate is none
			t.Errorf("%+v", status)
		}
	})
}

// Entries share rate limits: as many as are ready behind their Service.
func TestReplicas(t *testing.T) {
	t.Parallel()
	slice := func(name, family, first, second string) string {
		return fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %s, namespace: system,
  labels: {kubernetes.io/service-name: entry}}, addressType: %s, endpoints: [
  {addresses: [%s], conditions: {ready: true}}, {addresses: [%s]}, {addresses: ["192.0.2.9"], conditions: {ready: false}}]}`,
			name, family, first, second)
	}
	following(t, func(*lab) {}, func(l *lab) {
		if n := l.Replicas(); n != 1 {
			t.Errorf("%d replicas without an endpoint", n)
		}
		l.apply(slice("a", "IPv4", "192.0.2.1", "192.0.2.2"), slice("b", "IPv6", `"2001:db8::1"`, `"2001:db8::2"`))
		if n := l.Replicas(); n != 2 || !l.read["endpointslices kubernetes.io/service-name=entry"] {
			t.Errorf("%d replicas, %v", n, l.read)
		}
	})
	if n := newSource(nil, &Config{}).Replicas(); n != 1 {
		t.Errorf("%d replicas without a Service", n)
	}
}

// Kinds that the API server does not know are named with the remedy, and used when they come.
func TestWithoutDefinitions(t *testing.T) {
	t.Parallel()
	missing := apierrors.NewNotFound(schema.GroupResource{}, "")
	following(t, func(l *lab) {
		for _, name := range []string{classes, gateways, routes, grants, imports} {
			l.answer(name, missing)
		}
		l.apply(class, gateway, belongings, secrets)
	}, func(l *lab) {
		got := strings.Join(l.names(), "\n")
		for _, want := range []string{
			"Gateway: the API server does not know gateways.gateway.networking.k8s.io: install the definitions of Gateway API",
			"ServiceImport: the API server does not know serviceimports.multicluster.x-k8s.io: install the definitions that come with Eastway's",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s\nwithout %s", got, want)
			}
		}
		for _, name := range []string{classes, gateways, routes, grants, imports} {
			l.answer(name, nil)
		}
		bubble.Pass(patience)
		l.expect("definitions are there", all()...)
	})
}

// An older API server has ReferenceGrants in v1beta1 only.
func TestOlderVersion(t *testing.T) {
	t.Parallel()
	following(t, func(l *lab) {
		l.answer("referencegrants.v1", apierrors.NewNotFound(schema.GroupResource{}, ""))
		l.apply(class, gateway, strings.ReplaceAll(belongings, "gateway.networking.k8s.io/v1, kind: ReferenceGrant",
			"gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant"), secrets)
	}, func(l *lab) { l.expect("v1beta1", all()...) })
}

// What may not be read is named with the right that is missing; the rest is used.
func TestForbidden(t *testing.T) {
	t.Parallel()
	following(t, func(l *lab) {
		l.answer("secrets", apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "cert", errors.New("no")))
		l.answer(policies, apierrors.NewForbidden(schema.GroupResource{Resource: policies}, "", errors.New("no")))
		l.apply(class, gateway, belongings, secrets)
	}, func(l *lab) {
		got := strings.Join(l.names(), "\n")
		for _, want := range []string{
			"route shop/cart",
			"Secret shop/cert: the API server does not allow to list it: allow the entry's service account get, list and watch of " +
				"Secret cert in namespace shop",
			"TrafficPolicy: the API server does not allow to list trafficpolicies.eastway.dev: allow the entry's service account get, list and " +
				"watch of it in all namespaces",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s\nwithout %s", got, want)
			}
		}
	})
}

// Before all is known, there is nothing; while the API server is away, what was known stays, a certificate too.
func TestAPIServerAway(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	following(t, func(l *lab) {
		l.answer(services, refused)
		l.apply(class, gateway, belongings, secrets)
	}, func(l *lab) {
		if m, problems := l.Read(); m != nil || len(problems) != 1 || !strings.Contains(problems[0], "cannot be reached since 2000-01-01T00:00:0") {
			t.Errorf("before: %v, %q", m, problems)
		}
		l.answer(services, nil)
		bubble.Pass(patience)
		l.expect("there", all()...)

		// A listener gets another certificate, which cannot be read yet: the one that it had stays.
		l.answer("secrets", refused)
		l.apply(strings.ReplaceAll(gateway, "name: cert", "name: next"))
		m, problems := l.Read()
		if len(m.Secrets) != 1 || m.Secrets[0].Name != "cert" || m.Gateways[0].Spec.Listeners[0].TLS.CertificateRefs[0].Name != "cert" {
			t.Errorf("while the new one is not known: %v", m.Secrets)
		}
		if len(problems) != 1 || !strings.Contains(problems[0], "cannot be reached") {
			t.Errorf("problems: %q", problems)
		}
		l.answer("secrets", nil)
		l.apply(strings.ReplaceAll(secrets, "name: cert", "name: next"))
		bubble.Pass(patience)
		m, problems = l.Read()
		if len(m.Secrets) != 1 || m.Secrets[0].Name != "next" || len(problems) != 0 {
			t.Errorf("after: %v, %q", m.Secrets, problems)
		}
	})
}

// After an outage of minutes, changes are seen within seconds.
func TestOutageEnds(t *testing.T) {
	t.Parallel()
	following(t, func(l *lab) { l.apply(class, gateway, belongings, secrets) }, func(l *lab) {
		l.away.Store(true)
		for _, w := range l.opened {
			w.Stop()
		}
		bubble.Pass(10 * time.Minute)
		l.expect("in the outage", append(all(), l.problems...)...)
		if len(l.problems) != 1 || !strings.Contains(l.problems[0], "cannot be reached") {
			t.Errorf("problems: %q", l.problems)
		}
		l.away.Store(false)
		bubble.Pass(patience)
		l.apply(strings.ReplaceAll(secrets, "YQ==", "eA=="))
		want := all()
		want[slices.Index(want, "secret shop/cert ab")] = "secret shop/cert xb"
		l.expect("after it", want...)
	})
}

// An object that has not the form of its kind stays as it was.
func TestMalformed(t *testing.T) {
	t.Parallel()
	following(t, func(l *lab) { l.apply(class, gateway, belongings, secrets) }, func(l *lab) {
		l.apply(strings.Replace(gateway, "port: 8443", "port: high", 1))
		got := l.names()
		last := len(got) - 1
		if !slices.Equal(got[:last], all()) || !strings.Contains(got[last], "Gateway shop/public: it does not have the form of its kind") {
			t.Errorf("%q", got)
		}
		l.apply(gateway)
		l.expect("repaired", all()...)
	})
}

// There is a bound on Secrets, and those of the oldest Gateways stay.
func TestManySecrets(t *testing.T) {
	t.Parallel()
	refs := make([]string, 0, maxSecrets)
	for i := range maxSecrets {
		refs = append(refs, fmt.Sprintf("{name: c%d}", i))
	}
	first, _, _ := strings.Cut(gateway, "\n---\n")
	many := strings.NewReplacer("name: public", "name: greedy", "{name: cert}", strings.Join(refs, ", ")).Replace(first)
	old := strings.ReplaceAll(gateway, "name: public,", `name: public, creationTimestamp: "2001-01-01T00:00:00Z",`)
	many = strings.ReplaceAll(many, "name: greedy,", `name: greedy, creationTimestamp: "2002-01-01T00:00:00Z",`)
	following(t, func(l *lab) { l.apply(class, many, old, belongings, secrets) }, func(l *lab) {
		m, problems := l.Read()
		if len(m.Secrets) != 1 || len(l.secrets) != maxSecrets || len(problems) != 1 || !strings.Contains(problems[0], "name 501 Secrets") {
			t.Errorf("%d secrets, %d followed, %q", len(m.Secrets), len(l.secrets), problems)
		}
	})
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Config.REST") {
		t.Error(err)
	}
}
