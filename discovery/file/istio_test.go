package file

import (
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

const istioDB = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: mydb, namespace: shop}
spec:
  hosts: [mydb.com]
  addresses: [127.1.0.9]
  ports: [{name: http, number: 80, protocol: HTTP}]
  resolution: DNS
  endpoints: [{address: db.west.test, locality: west/west-a/rack, ports: {http: 81}}]
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: mydb, namespace: shop}
spec:
  host: mydb.com
  trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}}
`

// Istio's objects are used as they are, and what they mean here is a warning at its place.
func TestIstio(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	s := newStore(&cfg)
	write(t, dir, "a.yaml", istioDB)
	local, errs, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	name := discovery.ServiceName{Namespace: "shop", Name: "mydb"}
	service, policy := local.Services.Get(name), local.Policies.Get(name)
	if service == nil || service.External == nil || len(service.Listeners) != 1 || policy == nil {
		t.Fatalf("%+v %+v", service, policy)
	}
	if n := policy.OutlierDetection.Consecutive5xxErrors; n == nil || *n != 1 {
		t.Errorf("%+v", policy.OutlierDetection)
	}
	const want = "a.yaml:9: document 1: warning: spec.endpoints[0].locality: changed: sub-zones are not known here: it is in west/west-a"
	if len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("%v", errs)
	}
	if r, err := Check(cfg); err != nil || r.Objects["ServiceEntry"] != 1 || r.Objects["DestinationRule"] != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

// A field that would send calls elsewhere keeps what the object was before, and is an error.
func TestIstioRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	s := newStore(&cfg)
	name := discovery.ServiceName{Namespace: "shop", Name: "mydb"}
	write(t, dir, "a.yaml", istioDB)
	if _, _, err := s.load(); err != nil {
		t.Fatal(err)
	}
	for edit, want := range map[string]string{
		"host: mydb.com\n  workloadSelector: {matchLabels: {app: x}}": "a.yaml:16: document 2: spec.workloadSelector: endpoints",
		"host: [mydb.com]": "a.yaml:15: document 2: spec.host: ",
	} {
		write(t, dir, "a.yaml", strings.Replace(istioDB, "host: mydb.com", edit, 1))
		local, errs, err := s.load()
		if err != nil || local.Policies.Get(name) == nil {
			t.Errorf("%s: the policy is gone: %v", edit, err)
		}
		want, _, _ = strings.Cut(want, "endpoints")
		if !mentions(errs, want) {
			t.Errorf("%s: no %q in %v", edit, want, errs)
		}
	}
}

func mentions(errs []FileError, text string) bool {
	for _, e := range errs {
		if !e.Warning && strings.HasPrefix(e.Error(), text) {
			return true
		}
	}
	return false
}

// What a conflict is about is named by the field of the object that is there.
func TestIstioConflicts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "a.yaml", istioDB+`---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: own, namespace: shop}
spec: {targetRef: {group: eastway.dev, kind: ExternalService, name: mydb}, outlierDetection: {consecutive5xxErrors: 9}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: slow, namespace: shop}
spec: {hosts: [elsewhere], http: [{timeout: 1s, route: [{destination: {host: elsewhere}}]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: shop}
spec: {hosts: [other.example], addresses: [127.1.0.9], resolution: DNS, ports: [{name: http, number: 80}]}
`)
	s := newStore(&cfg)
	local, errs, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	policy := local.Policies.Get(discovery.ServiceName{Namespace: "shop", Name: "mydb"})
	if n := policy.OutlierDetection.Consecutive5xxErrors; n == nil || *n != 9 {
		t.Errorf("the policy is %+v", policy)
	}
	all := ""
	for _, e := range errs {
		all += e.Error() + "\n"
	}
	for _, want := range []string{
		"a.yaml:15: document 2: spec.host: Service shop/mydb already has TrafficPolicy shop/own in a.yaml",
		"a.yaml:26: document 4: warning: spec.hosts: there is no Service shop/elsewhere here",
		"a.yaml:31: document 5: spec.addresses[0]: 127.1.0.9:80 is already the address of ServiceEntry shop/mydb",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

// A policy written for Eastway comes before what is converted, whichever is older.
func TestOwnPolicyComesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	created := "metadata: {name: mydb, namespace: shop, creationTimestamp: '2020-01-01T00:00:00Z'}\nspec:\n  host"
	write(t, dir, "a.yaml", strings.Replace(istioDB, "metadata: {name: mydb, namespace: shop}\nspec:\n  host:", created+":", 1)+`---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: own, namespace: shop, creationTimestamp: '2026-01-01T00:00:00Z'}
spec: {targetRef: {group: eastway.dev, kind: ExternalService, name: mydb}, outlierDetection: {consecutive5xxErrors: 9}}
`)
	local, errs, err := newStore(&cfg).load()
	if err != nil {
		t.Fatal(err)
	}
	policy := local.Policies.Get(discovery.ServiceName{Namespace: "shop", Name: "mydb"})
	if policy == nil || *policy.OutlierDetection.Consecutive5xxErrors != 9 {
		t.Errorf("the policy is %+v", policy)
	}
	if !mentions(errs, "a.yaml:15: document 2: spec.host: Service shop/mydb already has TrafficPolicy shop/own") {
		t.Errorf("%v", errs)
	}
}

// A policy applies only to what it names: neither one that comes of a refused ServiceEntry to the Service that has its name, nor the other way round.
func TestPolicyOfAnotherKind(t *testing.T) {
	t.Parallel()
	const refers = "set targetRef to {"
	own := func(ref string) string {
		return "---\napiVersion: eastway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: own, namespace: shop}\nspec: {targetRef: {" + ref +
			", name: mydb}, outlierDetection: {}}\n"
	}
	const toService, toExternal = "kind: Service", "group: eastway.dev, kind: ExternalService"
	taken := strings.Replace(service("mydb", 80), "name: mydb", "name: mydb, namespace: shop", 1) + "---\n"
	for name, c := range map[string]struct {
		text    string
		applies bool
		want    string
	}{
		"converted":             {taken + istioDB, false, refers},
		"of an ExternalService": {taken + own(toExternal), false, refers},
		"of a Service":          {strings.Split(istioDB, "---")[0] + own(toService), false, refers},
		"of nothing":            {own(toExternal), false, "applies once there is one"},
		"of a Service to come":  {own(toService), true, "applies once a peer exports one"},
		"of its kind":           {taken + own(toService) + "---\n" + istioDB, true, "has this name: this ExternalService is ignored"},
		"of an import":          {taken + own("group: multicluster.x-k8s.io, kind: ServiceImport"), true, ""},
	} {
		dir := t.TempDir()
		cfg := config(dir)
		write(t, dir, "a.yaml", c.text)
		local, errs, err := newStore(&cfg).load()
		if err != nil {
			t.Fatal(err)
		}
		if got := local.Policies.Get(discovery.ServiceName{Namespace: "shop", Name: "mydb"}) != nil; got != c.applies {
			t.Errorf("%s: applies is %v: %v", name, got, errs)
		}
		all := ""
		for _, e := range errs {
			all += e.Error() + "\n"
		}
		if !strings.Contains(all, c.want) {
			t.Errorf("%s: no %q in %s", name, c.want, all)
		}
	}
}

// What has the name of an ExternalService is named by its kind.
func TestTwoExternalsOfOneName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "a.yaml", istioDB+`---
apiVersion: eastway.dev/v1alpha1
kind: ExternalService
metadata: {name: mydb, namespace: shop}
spec: {hosts: [other.example], addresses: [127.1.0.8], ports: [{name: http, number: 80}], endpoints: [{address: a.example}]}
`)
	_, errs, err := newStore(&cfg).load()
	if err != nil || !mentions(errs, "a.yaml:3: document 1: metadata.name: another ExternalService shop/mydb has this name") {
		t.Errorf("%v %v", errs, err)
	}
}

// An entry whose rule would add TLS is not served in the plain while that rule is refused.
func TestIstioRefusedTLS(t *testing.T) {
	t.Parallel()
	const secured = "host: mydb.com\n  trafficPolicy: {tls: {mode: SIMPLE}}\n"
	base, _, _ := strings.Cut(istioDB, "host: mydb.com")
	name := discovery.ServiceName{Namespace: "shop", Name: "mydb"}
	for kind, bad := range map[string]string{
		"refused": strings.Replace(secured, "host:", "workloadSelector: {matchLabels: {app: x}}\n  host:", 1),
		"invalid": strings.Replace(secured, "}}", "}, loadBalancer: 7}", 1),
	} {
		dir := t.TempDir()
		cfg := config(dir)
		s := newStore(&cfg)
		write(t, dir, "a.yaml", base+bad)
		local, errs, err := s.load()
		if err != nil || local.Services.Get(name) != nil {
			t.Errorf("%s: it is served: %v", kind, err)
		}
		if !mentions(errs, "a.yaml:5: document 1: spec.hosts: nothing comes of mydb.com: DestinationRule shop/mydb adds TLS") {
			t.Errorf("%s: %v", kind, errs)
		}
		for _, text := range []string{secured, bad} { // what was good stays
			write(t, dir, "a.yaml", base+text)
			local, errs, err = s.load()
			if service := local.Services.Get(name); err != nil || service == nil || service.External.TLS == nil {
				t.Errorf("%s: after it was good: %+v %v %v", kind, service, errs, err)
			}
		}
	}
}

// Where a rule added no TLS before, its entry stays as it was when a new version is refused.
func TestIstioRefusedTLSOfAGoodRule(t *testing.T) {
	t.Parallel()
	base, _, _ := strings.Cut(istioDB, "host: mydb.com")
	dir := t.TempDir()
	cfg := config(dir)
	s := newStore(&cfg)
	for _, spec := range []string{"", "  workloadSelector: {}\n  trafficPolicy: {tls: {mode: SIMPLE}}\n"} {
		write(t, dir, "a.yaml", base+"host: mydb.com\n"+spec)
		local, errs, err := s.load()
		if err != nil || local.Services.Get(discovery.ServiceName{Namespace: "shop", Name: "mydb"}) == nil {
			t.Errorf("%q: %v %v", spec, errs, err)
		}
		if spec != "" && !mentions(errs, "a.yaml:16: document 2: spec.workloadSelector: ") {
			t.Errorf("%v", errs)
		}
	}
}
