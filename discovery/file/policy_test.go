package file

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// The oldest policy of each target counts: by its creationTimestamp where it has one, then by when it was first read.
func TestOldestPolicyCounts(t *testing.T) {
	t.Parallel()
	policy := func(name, namespace, meta, target string, failures int) string {
		return fmt.Sprintf(`---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: %s, namespace: %s%s}
spec: {%soutlierDetection: {consecutiveLocalOriginFailures: %d}}
`, name, namespace, meta, target, failures)
	}
	const shop, imported = "targetRef: {kind: Service, name: a}, ", "targetRef: {group: multicluster.x-k8s.io, kind: ServiceImport, name: a}, "
	at := func(second int) string { return fmt.Sprintf(", creationTimestamp: '2026-01-01T00:00:%02dZ'", second) }
	for name, c := range map[string]struct {
		steps    []string
		at       discovery.ServiceName
		want     uint32
		conflict string
	}{
		"created": {
			[]string{policy("x", "default", at(2), shop, 1) + policy("y", "default", at(1), shop, 2)},
			discovery.ServiceName{Namespace: "default", Name: "a"},
			2, "spec.targetRef: Service default/a already has TrafficPolicy default/y in step-0.yaml",
		},
		"read": {
			[]string{policy("y", "default", "", shop, 2), policy("x", "default", "", shop, 1)},
			discovery.ServiceName{Namespace: "default", Name: "a"},
			2, "spec.targetRef: Service default/a already has TrafficPolicy default/y in step-0.yaml",
		},
		"a Service and its import": {
			[]string{policy("x", "default", at(2), shop, 1) + policy("y", "default", at(1), imported, 2)},
			discovery.ServiceName{Namespace: "default", Name: "a"},
			2, "spec.targetRef: Service default/a already has TrafficPolicy default/y in step-0.yaml",
		},
		"defaults of a namespace": {
			[]string{policy("x", "default", at(2), "", 1) + policy("y", "default", at(1), "", 2)},
			discovery.ServiceName{Namespace: "default"},
			2, "spec.targetRef: namespace default already has TrafficPolicy default/y in step-0.yaml",
		},
		"defaults of the cluster": {
			[]string{policy("x", "eastway-system", at(2), "", 1) + policy("y", "eastway-system", at(1), "", 2)},
			discovery.ServiceName{},
			2, "spec.targetRef: the cluster already has TrafficPolicy eastway-system/y in step-0.yaml",
		},
		"of an HTTPRoute": {
			[]string{policy("x", "default", at(2), shop, 1) + policy("y", "default", at(3), shop, 2) + `---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: z, namespace: default}
spec: {targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}, rateLimit: {rules: [{quota: 1, fillInterval: 1s}]}}
`},
			discovery.ServiceName{Namespace: "default", Name: "a"},
			1, "spec.targetRef: Service default/a already has TrafficPolicy default/x in step-0.yaml",
		},
	} {
		dir := t.TempDir()
		cfg := config(dir)
		s := newStore(&cfg)
		write(t, dir, "service.yaml", service("a", 80))
		var local discovery.Local
		var errs []FileError
		for i, step := range c.steps {
			write(t, dir, fmt.Sprintf("step-%d.yaml", i), step)
			var err error
			if local, errs, err = s.load(); err != nil {
				t.Fatal(err)
			}
		}
		p := local.Policies.Get(c.at)
		if p == nil || *p.OutlierDetection.ConsecutiveLocalOriginFailures != c.want {
			t.Errorf("%s: %+v is in use, want %d", name, p, c.want)
		}
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.conflict) {
			t.Errorf("%s: %v, want %s", name, errs, c.conflict)
		}
	}
}

func TestSettingsForAPortThatIsNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "a.yaml", service("a", 80)+`---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: a}
spec:
  targetRef: {kind: Service, name: a}
  portLevelSettings:
  - port: {number: 80}
  - port: {number: 81}
`)
	local, errs, err := newStore(&cfg).load()
	if err != nil {
		t.Fatal(err)
	}
	const want = "warning: spec.portLevelSettings[1].port.number: Service default/a has no TCP port 81 here"
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
		t.Errorf("%v, want %s", errs, want)
	}
	if local.Policies.Get(discovery.ServiceName{Namespace: "default", Name: "a"}) == nil {
		t.Error("the policy is not in use")
	}
}

// What comes from elsewhere, such as Istio or a newer Kubernetes, is used as far as it is known here. Each other field is named.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "a.yaml", strings.Replace(service("a", 80), "spec: {", "spec: {newField: true, ", 1)+`---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: a}
spec:
  targetRef: {kind: Service, name: a}
  host: a.default.svc.cluster.local
  connectionPool:
    tcp: {maxConnections: 7, tcpKeepalive: {time: 7200s}}
  outlierDetection: {interval: 5s, consecutive5xxErors: 7}
  tls: {mode: ISTIO_MUTUAL}
`)
	local, errs, err := newStore(&cfg).load()
	if err != nil {
		t.Fatal(err)
	}
	a := discovery.ServiceName{Namespace: "default", Name: "a"}
	if p := local.Policies.Get(a); p == nil || *p.ConnectionPool.TCP.MaxConnections != 7 || p.OutlierDetection.Interval == nil {
		t.Errorf("the rest of the policy is not in use: %+v", p)
	}
	if local.Services.Get(a) == nil {
		t.Error("the Service is not in use")
	}
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	want := []string{
		"a.yaml:4: document 1: warning: spec.newField: unknown field: it is ignored, and the rest is used",
		"a.yaml:11: document 2: warning: spec.host: unknown field: it is ignored, and the rest is used; targetRef names the Service",
		"a.yaml:13: document 2: warning: spec.connectionPool.tcp.tcpKeepalive: unknown field: it is ignored, and the rest is used; " +
			"connections to hosts that vanished end after a minute in any case: remove it",
		"a.yaml:14: document 2: warning: spec.outlierDetection.consecutive5xxErors: unknown field, perhaps consecutive5xxErrors is meant: " +
			"it is ignored, and the rest is used; docs/policy.md lists the fields",
		"a.yaml:15: document 2: warning: spec.tls: unknown field: it is ignored, and the rest is used; " +
			"tunnels between clusters always use mutual TLS, and inside a cluster the caller's bytes are passed on: remove it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A policy whose target is in a field that is not known must not be taken for the default of its namespace.
func TestUnknownTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "a.yaml", `apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: a}
spec:
  targetRefs: [{kind: Service, name: a}]
  outlierDetection: {interval: 5s}
`)
	local, errs, err := newStore(&cfg).load()
	if err != nil || local.Policies.Len() != 0 || len(errs) != 1 || errs[0].Warning || !strings.HasSuffix(errs[0].Message, "; targetRef names one "+
		"Service: write a policy for each") {
		t.Errorf("%d policies, %v, %v", local.Policies.Len(), errs, err)
	}
}

// A rule of a Peer that was mistyped must not be taken for no rule: the last good Peer stays.
func TestUnknownFieldOfAPeer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := config(dir)
	write(t, dir, "b.yaml", strings.Replace(peer("b"), "spec: {", "spec: {exprots: {deny: ['*/*']}, ", 1))
	local, errs, err := newStore(&cfg).load()
	if err != nil || len(local.Peers) != 0 || len(errs) != 1 || errs[0].Warning {
		t.Errorf("%v, %v, %v", local.Peers, errs, err)
	}
}
