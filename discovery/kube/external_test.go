package kube

import (
	"fmt"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

const mydbYAML = `{apiVersion: eastway.dev/v1alpha1, kind: ExternalService, metadata: {name: shop, namespace: default},
 spec: {hosts: [mydb.com], ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: db.example.com, locality: north/n-2}]},
 status: {hostname: ignored.svc}}`

// An ExternalService is a service of the catalog: callers reach it at the Service that the controller derives, and peers by an export.
func TestExternalService(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(mydbYAML)
	expect(t, "alone", l.state(), "service default/shop http:80/TCP/http")
	at := name{Namespace: "default", Name: "shop"}
	s := l.world.local.Services.Get(at)
	if s.External == nil || !s.Private || fmt.Sprint(s.External.Endpoints) != "[{db.example.com north/n-2 map[80:80]}]" {
		t.Errorf("%+v", s)
	}
	l.apply(derivedYAML("ew-shop-external", "external", 20001, 1, nil))
	expect(t, "derived", l.state(), "listener default/shop [::]:20001 for 80",
		"service default/shop http:80/TCP/http at [10.96.9.1]")
	l.apply(shopExport)
	expect(t, "exported", about(l.state(), "service"), "service default/shop http:80/TCP/http at [10.96.9.1] exported")
	if s := l.world.local.Services.Get(at); s.Private || s.External == nil {
		t.Errorf("exported: %+v", s)
	}
	expect(t, "problems", l.problems())
	l.apply(strings.Replace(mydbYAML, "spec: {", "spec: {addresses: [10.96.0.77], ", 1))
	_ = l.state()
	expect(t, "addresses", l.problems(), "ExternalService default/shop: warning: spec.addresses: ignored on Kubernetes, "+
		"where status.addresses are those that callers reach")
	l.remove(mydbYAML)
	l.remove(derivedYAML("ew-shop-external", "external", 20001, 1, nil))
	expect(t, "removed", l.state())
	expect(t, "an export of nothing", l.problems(),
		"ServiceExport default/shop: warning: metadata.name: there is no Service default/shop to export")
}

// What cannot be used is reported with its field, and what was good stays in use.
func TestExternalServiceFaults(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	l.apply(mydbYAML)
	l.apply(strings.Replace(mydbYAML, "number: 80", "number: 0", 1))
	expect(t, "a bad port", l.problems(), "ExternalService default/shop: spec.ports[0].number: Invalid value: 0: must be between 1 and 65535; "+
		"its last good version stays in use")
	expect(t, "the last good version", l.state(), "service default/shop http:80/TCP/http")
	l.apply(strings.Replace(mydbYAML, "hosts:", "exportTo: [x], hosts:", 1))
	expect(t, "unknown fields", l.problems(), `ExternalService default/shop: warning: unknown field "spec.exportTo": ignored`)
	l.apply(mydbYAML)
	l.apply(join(nodesYAML, shopYAML, shopExport))
	_ = l.state()
	expect(t, "a Service has the name", l.problems(),
		"ExternalService default/shop: metadata.name: Service default/shop has this name: this ExternalService is ignored; give it another name")
	if s := l.world.flush().Services.Get(name{Namespace: "default", Name: "shop"}); s == nil || s.External != nil {
		t.Errorf("%+v", s)
	}
	l.remove(shopYAML)
	_ = l.state()
	expect(t, "no longer", l.problems())
}

// A policy for one is judged by its ports, and warns of nothing while it is there.
func TestPolicyOfExternalService(t *testing.T) {
	t.Parallel()
	const policy = `{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: p, namespace: default},
 spec: {targetRef: {group: eastway.dev, kind: ExternalService, name: shop}, outlierDetection: {consecutiveLocalOriginFailures: 1}}}`
	l := newLab(t, testConfig())
	l.apply(policy)
	_ = l.state()
	expect(t, "before", l.problems(),
		"TrafficPolicy default/p: warning: spec.targetRef.name: there is no ExternalService default/shop here; the policy applies once there is one")
	l.apply(mydbYAML)
	expect(t, "with it", about(l.state(), "policy"), "policy default/shop failures=1")
	expect(t, "problems", l.problems())
	l.remove(mydbYAML)
	_ = l.state()
	if got := l.problems(); len(got) != 1 {
		t.Errorf("after: %q", got)
	}
}

// What a restart knows without the API server is what was there.
func TestExternalServiceInSnapshot(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.SnapshotDir = t.TempDir()
	l := newLab(t, cfg)
	l.apply(mydbYAML)
	if !l.keeper.save() {
		t.Fatal("not saved")
	}
	again := newLab(t, cfg)
	again.keeper.load()
	expect(t, "restored", again.state(), "service default/shop http:80/TCP/http")
	if s := again.world.local.Services.Get(discovery.ServiceName{Namespace: "default", Name: "shop"}); s == nil || s.External == nil {
		t.Errorf("%+v", s)
	}
}

// A policy applies only to what it names, and one that does not leaves the target to others.
func TestPolicyOfAnotherKind(t *testing.T) {
	t.Parallel()
	const forService = `{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: a, namespace: default},
 spec: {targetRef: {kind: Service, name: shop}, outlierDetection: {consecutiveLocalOriginFailures: 2}}}`
	const forExternal = `{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: b, namespace: default},
 spec: {targetRef: {group: eastway.dev, kind: ExternalService, name: shop}, outlierDetection: {consecutiveLocalOriginFailures: 1}}}`
	l := newLab(t, testConfig())
	l.apply(forExternal)
	expect(t, "nothing there", about(l.state(), "policy"))
	l.apply(forService)
	expect(t, "a peer may export it", about(l.state(), "policy"), "policy default/shop failures=2")
	l.apply(mydbYAML)
	expect(t, "an ExternalService", about(l.state(), "policy"), "policy default/shop failures=1")
	expect(t, "problems", l.problems(),
		"TrafficPolicy default/a: spec.targetRef.kind: ExternalService default/shop has this name, and the policy is "+
			"for a Service: it is not used; set targetRef to {group: eastway.dev, kind: ExternalService, name: shop} if it is for that")
	l.apply(join(nodesYAML, shopYAML))
	expect(t, "a Service", about(l.state(), "policy"), "policy default/shop failures=2")
	const want = "TrafficPolicy default/b: spec.targetRef.kind: Service default/shop has this name"
	if got := strings.Join(l.problems(), "\n"); !strings.Contains(got, want) {
		t.Errorf("%s", got)
	}
}

// A policy for an HTTPRoute says nothing about the Service of that name, also when it was for that before.
func TestPolicyOfHTTPRoute(t *testing.T) {
	t.Parallel()
	const head = `{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: p, namespace: default}, spec: {targetRef: `
	l := newLab(t, testConfig())
	l.apply(head + `{kind: Service, name: shop}, rateLimit: {rules: [{quota: 1, fillInterval: 1s}]}}}`)
	if p := l.world.flush().Policies.Get(name{Namespace: "default", Name: "shop"}); p == nil {
		t.Error("the policy is not in use")
	}
	l.apply(head + `{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}, rateLimit: {rules: [{quota: 1, fillInterval: 1s}]}}}`)
	if p := l.world.flush().Policies.Get(name{Namespace: "default", Name: "shop"}); p != nil {
		t.Errorf("in use: %+v", p)
	}
	expect(t, "an HTTPRoute", l.problems())
}
