package kube

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const managedBy = v1alpha1.ManagedBy

func sameMap(a, b any) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }

func peerYAML(cluster string, created int) string {
	return fmt.Sprintf(`{apiVersion: eastway.dev/v1alpha1, kind: Peer,
 metadata: {name: %s, creationTimestamp: "2026-01-01T00:00:%02dZ", managedFields: []},
 spec: {spiffeID: "spiffe://%[1]s/eastway/cluster/%[1]s", trustBundle: PEM, addresses: ["%[1]s.example.com:15443"]}, status: {anything: 1}}`,
		cluster, created)
}

func policyYAML(own, target string, created, failures int) string {
	return fmt.Sprintf(`{apiVersion: eastway.dev/v1alpha1, kind: TrafficPolicy,
 metadata: {name: %s, namespace: default, creationTimestamp: "2026-01-01T00:00:%02dZ"},
 spec: {targetRef: {kind: Service, name: %s}, outlierDetection: {consecutiveLocalOriginFailures: %d}}}`, own, created, target, failures)
}

// defaultYAML has no target.
func defaultYAML(own, namespace string, created, failures int) string {
	p := strings.Replace(policyYAML(own, "shop", created, failures), "targetRef: {kind: Service, name: shop}, ", "", 1)
	return strings.Replace(p, "namespace: default", "namespace: "+namespace, 1)
}

func TestPeersAndPolicies(t *testing.T) {
	t.Parallel()
	id := func(p, cluster string) string { return strings.Replace(p, "spiffe://b/eastway/cluster/b", cluster, 1) }
	for _, test := range []struct {
		name     string
		docs     []string
		want     []string
		problems []string
	}{
		{"peers", []string{peerYAML("b", 1), peerYAML("c", 2)}, []string{
			"peer b spiffe://b/eastway/cluster/b", "peer c spiffe://c/eastway/cluster/c",
		}, nil},
		{
			"an identity twice: the older one has it",
			[]string{id(peerYAML("b", 2), "spiffe://c/eastway/cluster/c"), peerYAML("c", 1)},
			[]string{"peer c spiffe://c/eastway/cluster/c"},
			[]string{
				`Peer b: spec.spiffeID: "spiffe://c/eastway/cluster/c" is already the identity of Peer c, which is older: ` +
					"this one is ignored; remove one of the two",
			},
		},
		{"the own name", []string{peerYAML(ownCluster, 1)}, nil, []string{
			`Peer here: metadata.name: "here" is this cluster itself: a Peer is another cluster; give one of the two another name`,
		}},
		{"the own identity", []string{id(peerYAML("b", 1), ownID)}, nil, []string{
			`Peer b: spec.spiffeID: "` + ownID + `" is this cluster's own identity: import the manifest that ` +
				"`eastway peer export` prints in the other cluster",
		}},
		{
			"a bad bundle",
			[]string{strings.Replace(peerYAML("b", 1), "PEM", "BAD", 1)},
			nil,
			[]string{"Peer b: spec: no bundle"},
		},
		{"a field of a newer release", []string{strings.Replace(peerYAML("b", 1), "spec: {", "spec: {later: 1, ", 1)}, []string{
			"peer b spiffe://b/eastway/cluster/b",
		}, []string{`Peer b: warning: unknown field "spec.later": ignored`}},
		{
			"a field of another type",
			[]string{strings.Replace(peerYAML("b", 1), `["b.example.com:15443"]`, "1", 1)},
			nil,
			[]string{"Peer b: it does not have the form of a Peer: cannot restore slice from float64"},
		},
		{"policies: the older one counts", []string{
			shopYAML, policyYAML("a", "shop", 2, 2), policyYAML("b", "shop", 1, 1), policyYAML("c", "shop", 2, 3),
		}, []string{`policy default/shop failures=1`}, []string{
			"TrafficPolicy default/a: spec.targetRef: Service default/shop already has TrafficPolicy b, which is older: this one is ignored; " +
				"remove one of the two",
			"TrafficPolicy default/c: spec.targetRef: Service default/shop already has TrafficPolicy b, which is older: this one is ignored; " +
				"remove one of the two",
		}},
		{
			"a policy for what only peers export",
			[]string{policyYAML("a", "shop", 2, 2)},
			[]string{`policy default/shop failures=2`},
			[]string{
				"TrafficPolicy default/a: warning: spec.targetRef.name: there is no Service default/shop here; " +
					"the policy applies once a peer exports one",
			},
		},
		{"defaults of a namespace and of the cluster", []string{
			defaultYAML("a", "shop", 2, 2), defaultYAML("b", "shop", 1, 1),
			defaultYAML("c", "eastway-system", 1, 3), defaultYAML("d", "eastway-system", 2, 4),
		}, []string{"policy / failures=3", "policy shop/ failures=1"}, []string{
			"TrafficPolicy eastway-system/d: spec.targetRef: the cluster already has TrafficPolicy c, which is older",
			"TrafficPolicy shop/a: spec.targetRef: namespace shop already has TrafficPolicy b, which is older",
		}},
		{"a policy for a ServiceImport", []string{
			shopYAML, policyYAML("a", "shop", 2, 2),
			strings.Replace(policyYAML("b", "shop", 1, 1), "kind: Service,", "kind: ServiceImport, group: multicluster.x-k8s.io,", 1),
		}, []string{`policy default/shop failures=1`}, []string{
			"TrafficPolicy default/a: spec.targetRef: Service default/shop already has TrafficPolicy b, which is older",
		}},
		{
			"settings for a port that is not there",
			[]string{shopYAML, strings.Replace(policyYAML("a", "shop", 1, 1), "outlierDetection:",
				"portLevelSettings: [{port: {number: 80}}, {port: {number: 9}}], outlierDetection:", 1)},
			[]string{`policy default/shop failures=1`},
			[]string{"TrafficPolicy default/a: warning: spec.portLevelSettings[1].port.number: Service default/shop has no TCP port 9 here"},
		},
		{
			"numbers of all kinds",
			[]string{shopYAML, strings.Replace(policyYAML("a", "shop", 1, 1), "outlierDetection:",
				"loadBalancer: {warmup: {duration: 30s, aggression: 2}, "+
					"localityLbSetting: {distribute: [{from: a, to: {b: 100}}]}}, outlierDetection:", 1)},
			[]string{`policy default/shop failures=1`},
			nil,
		},
		{
			"an invalid policy",
			[]string{shopYAML, policyYAML("a", "shop", 2, 70000)},
			nil,
			[]string{"TrafficPolicy default/a: spec.outlierDetection.consecutiveLocalOriginFailures: Invalid value: 70000"},
		},
		{"an export of nothing", []string{shopExport}, nil, []string{
			"ServiceExport default/shop: warning: metadata.name: there is no Service default/shop to export",
		}},
		{
			"an export with a rule that is not known",
			[]string{shopYAML, strings.Replace(shopExport, "{name", "{annotations: {eastway.dev/export-too: b}, name", 1)},
			nil,
			[]string{"ServiceExport default/shop: metadata.annotations[eastway.dev/export-too]: is not known, perhaps eastway.dev/export-to is"},
		},
		{
			"a Service with a typing error, which nothing else is about",
			[]string{
				`{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default, annotations: {eastway.dev/takeovr: x}}, ` +
					`spec: {ports: [{port: 1}]}}`,
			},
			nil,
			[]string{"Service default/a: warning: metadata.annotations[eastway.dev/takeovr]: is not known, perhaps eastway.dev/takeover is meant"},
		},
		{
			"an export to a Peer that is not there", []string{
				shopYAML, peerYAML("b", 1), strings.Replace(shopExport, "{name", "{annotations: {eastway.dev/export-to: 'b, c'}, name", 1),
			}, []string{"peer b spiffe://b/eastway/cluster/b"}, []string{
				"ServiceExport default/shop: warning: metadata.annotations[eastway.dev/export-to]: there is no Peer c here: the service is",
			},
		},
		{"an export of an alias", []string{
			`{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: default}, spec: {type: ExternalName, externalName: example.com}}`,
			shopExport,
		}, nil, []string{"ServiceExport default/shop: metadata.name: Service default/shop is of type ExternalName"}},
		{
			"a derived Service without a number",
			[]string{derivedYAML("d", "import", "web", 1, nil)},
			nil,
			[]string{`Service eastway-system/d: spec.ports[0].targetPort: Invalid value: "web": must be the number of a port on the proxies`},
		},
		{
			"a derived Service of a new kind",
			[]string{derivedYAML("d", "later", 20001, 1, nil)},
			nil,
			[]string{`Service eastway-system/d: metadata.labels[eastway.dev/derived]: Unsupported value: "later"`},
		},
		{
			"a derived Service of no pod",
			[]string{derivedYAML("d", "pod", 20001, 1, map[string]string{"eastway.dev/cluster": "b"})},
			nil,
			[]string{`Service eastway-system/d: metadata.labels[eastway.dev/hostname]: Invalid value: ""`},
		},
		{
			"a port that the Service does not have",
			[]string{shopYAML, shopExport, strings.Replace(shopSlice, "{name: http, port: 8080}", "{name: web, port: 8080}", 1)},
			nil,
			[]string{"EndpointSlice default/shop-abc: warning: ports[0]: Service default/shop has no TCP port named \"web\""},
		},
		{
			"a protocol that is not known",
			[]string{annotated(shopYAML, "80=htpp"), shopExport},
			nil,
			[]string{
				`Service default/shop: metadata.annotations[eastway.dev/protocol]: Unsupported value: "htpp": supported values: "http", `,
				"ServiceExport default/shop: warning: metadata.name: there is no Service default/shop to export",
			},
		},
		{"a protocol of a Service that is none of ours", []string{annotated(shopYAML, "htpp")}, nil, nil},
		{"a bad slice of a Service that is none of ours", []string{shopYAML, strings.Replace(shopSlice, "port: 8080", "port: 0", 1)}, nil, nil},
		{
			"a bad slice of one of ours",
			[]string{shopYAML, shopExport, strings.Replace(shopSlice, "port: 8080", "port: 0", 1)},
			nil,
			[]string{"EndpointSlice default/shop-abc: ports[0].port: Invalid value: 0"},
		},
	} {
		cfg := testConfig()
		cfg.ValidatePeer = func(_, _, bundle string) error {
			if bundle != "PEM" {
				return errors.New("no bundle")
			}
			return nil
		}
		l := newLab(t, cfg)
		l.apply(join(test.docs...))
		expect(t, test.name, about(l.state(), "peer", "policy"), test.want...)
		problems := l.problems()
		for i := range min(len(problems), len(test.problems)) {
			if strings.HasPrefix(problems[i], test.problems[i]) {
				problems[i] = test.problems[i]
			}
		}
		expect(t, test.name+", problems", problems, test.problems...)
		l.remove(join(test.docs...))
		expect(t, test.name+", removed", about(l.state(), "peer", "policy"))
		expect(t, test.name+", removed, problems", l.problems())
	}
}

// A broken version of an object leaves the last good one in use, also after a complete list.
func TestLastGoodVersion(t *testing.T) {
	t.Parallel()
	l := newLab(t, testConfig())
	good := peerYAML("b", 1)
	bad := strings.Replace(good, "spiffe://b", "https://b", 1)
	l.apply(good)
	l.apply(bad)
	expect(t, "peers", about(l.state(), "peer"), "peer b spiffe://b/eastway/cluster/b")
	const text = `Peer b: spec.spiffeID: Invalid value: "https://b/eastway/cluster/b": must begin with spiffe://`
	expect(t, "problems", l.problems(), text+"; its last good version stays in use")

	list := []any{objects(t, bad)[0]}
	if err := l.table(objects(t, bad)[0]).Replace(list, "1"); err != nil {
		t.Fatal(err)
	}
	expect(t, "peers, listed", about(l.state(), "peer"), "peer b spiffe://b/eastway/cluster/b")
	l.apply(good)
	expect(t, "problems, repaired", l.problems())
	l.apply(bad)
	l.remove(bad)
	expect(t, "peers, removed", about(l.state(), "peer"))
	l.apply(bad)
	expect(t, "peers, never good", about(l.state(), "peer"))
	expect(t, "problems, never good", l.problems(), text)
}
