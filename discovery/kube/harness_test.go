package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ownCluster   = "here"
	ownID        = "spiffe://here/eastway/cluster/here"
	ownNamespace = "eastway-system"
)

// nodes of the tests: two zones of region north, each with a network, and one without labels.
const nodesYAML = `
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {topology.kubernetes.io/region: north, topology.kubernetes.io/zone: n-1}},
 spec: {podCIDRs: [10.1.1.0/24, "fd00:1::/64"]}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}, {type: Hostname, address: n1}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {topology.kubernetes.io/region: north, topology.kubernetes.io/zone: n-2}},
 spec: {podCIDRs: [10.1.2.0/24]}, status: {addresses: [{type: InternalIP, address: 192.0.2.2}]}}
`

func testConfig() Config {
	return Config{
		REST: &rest.Config{Host: "http://127.0.0.1:1"}, Namespace: ownNamespace, NodeName: "n1", Cluster: ownCluster, SPIFFEID: ownID,
	}
}

// objects of manifests, as the API server sends them: in their own type, or unstructured.
func objects(t testing.TB, manifests string) []metav1.Object {
	t.Helper()
	var all []metav1.Object
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		var o metav1.Object = u
		switch u.GetKind() {
		case "":
			t.Fatalf("no object: %s", doc)
		case kindService:
			o = &corev1.Service{}
		case kindNode:
			o = &corev1.Node{}
		case kindSlice:
			o = &discoveryv1.EndpointSlice{}
		}
		if o != metav1.Object(u) {
			if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
				t.Fatalf("%v:\n%s", err, doc)
			}
		}
		all = append(all, o)
	}
	return all
}

// lab is a Source without an API server.
type lab struct {
	*Source
	t testing.TB
}

func newLab(t testing.TB, cfg Config) *lab {
	t.Helper()
	s, err := New(cfg, discovery.NewCatalog(nil))
	if err != nil {
		t.Fatal(err)
	}
	return &lab{Source: s, t: t}
}

func (l *lab) table(o metav1.Object) *table {
	l.t.Helper()
	kind := ""
	switch o := o.(type) {
	case *corev1.Service:
		kind = kindService
	case *corev1.Node:
		kind = kindNode
	case *discoveryv1.EndpointSlice:
		kind = kindSlice
	case *unstructured.Unstructured:
		kind = o.GetKind()
	}
	i := slices.IndexFunc(l.tables, func(t *table) bool { return t.kind == kind })
	if i < 0 {
		l.t.Fatalf("no table for %T %q", o, kind)
	}
	return l.tables[i]
}

func (l *lab) apply(manifests string) {
	l.t.Helper()
	for _, o := range objects(l.t, manifests) {
		if err := l.table(o).Add(o); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) remove(manifests string) {
	l.t.Helper()
	for _, o := range objects(l.t, manifests) {
		if err := l.table(o).Delete(o); err != nil {
			l.t.Fatal(err)
		}
	}
}

// state flushes and describes what the catalog would get, one line per fact.
func (l *lab) state() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return describe(l.world.flush())
}

func (l *lab) problems() []string {
	texts := []string{}
	for _, p := range l.Errors() {
		texts = append(texts, p.String())
	}
	return texts
}

func describe(local discovery.Local) []string {
	lines := []string{}
	for at, s := range local.Services.All() {
		head := "service " + at.String()
		for _, p := range s.Ports {
			head += fmt.Sprintf(" %s:%d/%s", p.Name, p.Port, p.Protocol)
			if p.HTTP {
				head += "/http"
			}
		}
		if len(s.Addresses) > 0 {
			head += fmt.Sprint(" at ", s.Addresses)
		}
		if s.Precedence != nil {
			head += fmt.Sprint(" by ", s.Precedence)
		}
		if s.Export != nil {
			head += " exported"
		}
		lines = append(lines, head)
		for _, p := range s.Listeners {
			line := fmt.Sprintf("listener %s %s for %d", at, p.Address, p.Port)
			if p.ClusterSet {
				line += " clusterset"
			}
			if p.Pod.Cluster != "" {
				line += fmt.Sprintf(" pod %s/%s", p.Pod.Cluster, p.Pod.Hostname)
			}
			lines = append(lines, line)
		}
		for port, endpoints := range s.Endpoints {
			for _, e := range endpoints {
				line := fmt.Sprintf("endpoint %s:%d %s %s", at, port, e.Address, e.Locality)
				if !e.Ready {
					line += " unready"
				}
				if e.Hostname != "" {
					line += " " + e.Hostname
				}
				lines = append(lines, line)
			}
		}
	}
	for at, p := range local.Policies.All() {
		line := fmt.Sprintf("policy %s", at)
		if o := p.OutlierDetection; o != nil && o.ConsecutiveLocalOriginFailures != nil {
			line += fmt.Sprintf(" failures=%d", *o.ConsecutiveLocalOriginFailures)
		}
		lines = append(lines, line)
	}
	for _, p := range local.Peers {
		lines = append(lines, fmt.Sprintf("peer %s %s", p.Name, p.Spec.SPIFFEID))
	}
	for a, at := range local.Localities.All() {
		lines = append(lines, fmt.Sprintf("caller %s %s", a, at))
	}
	for _, n := range local.Networks {
		lines = append(lines, fmt.Sprintf("network %s %s", n.Prefix, n.Locality))
	}
	slices.Sort(lines)
	return lines
}

// only the lines that begin with one of the prefixes.
func about(lines []string, prefixes ...string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) })
	})
}

func expect(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// manifests joined.
func join(docs ...string) string {
	for i := range docs {
		docs[i] = strings.Trim(docs[i], "\n")
	}
	return strings.Join(docs, "\n---\n")
}

// labeled are labels in flow style.
func labeled(pairs map[string]string) string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		list = append(list, fmt.Sprintf("%s: %q", k, pairs[k]))
	}
	return "{" + strings.Join(list, ", ") + "}"
}
