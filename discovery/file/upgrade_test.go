package file

import (
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A Peer as releases before exports, imports, quota, localities and denied wrote it is good, and does what docs/authorization.md has under
// "Peers without these fields".
func TestPeerOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	const service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: own, namespace: shop}\n" +
		"spec: {clusterIP: 127.1.0.2, ports: [{port: 80}]}\n"
	dir := t.TempDir()
	write(t, dir, "all.yaml", peer("b")+"---\n"+echoYAML+service)
	s := newSite(t, dir, nil)
	if errs := s.source.Errors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	name := func(namespace, name string) discovery.ServiceName {
		return discovery.ServiceName{Namespace: namespace, Name: name}
	}
	echo, own, far := name("demo", "echo"), name("shop", "own"), name("shop", "far")
	u := discovery.Update{
		Epoch: 1, Revision: 1,
		Exports: map[discovery.ServiceName]discovery.Metadata{}, Readiness: map[discovery.ServiceName]discovery.Endpoints{},
	}
	claimed := discovery.Locality{Region: "cn-hangzhou", Zone: "cn-hangzhou-h"} // the own one
	for _, n := range []discovery.ServiceName{echo, own, far, name("kube-system", "kube-dns"), name("eastway-system", "x")} {
		u.Exports[n] = discovery.Metadata{Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}}
		u.Readiness[n] = discovery.Endpoints{Rows: []discovery.Readiness{{Locality: claimed, Port: 80, Ready: 1, Total: 1}}}
	}
	if err := s.catalog.UpdateRemote(discovery.ReplicaID{Peer: "b", Replica: "r"}, u); err != nil {
		t.Fatal(err)
	}
	snap := s.catalog.Snapshot()
	var used []string
	for n, svc := range snap.Services.All() {
		for i := range svc.Peers {
			used = append(used, n.String())
			if at := svc.Peers[i].Readiness[0].Locality; at != claimed {
				t.Errorf("%s counts as in %v", n, at)
			}
		}
	}
	if slices.Sort(used); !slices.Equal(used, []string{"demo/echo", "shop/far"}) {
		t.Errorf("%q are used of the peer", used)
	}
	if p := snap.Problems(); len(p) != 1 || !strings.Contains(p[0], "such as shop/own") {
		t.Errorf("problems %q", p)
	}
	by := snap.Peers["b"]
	if v := discovery.MayCall(by, snap.Services.Get(echo)); v != (discovery.Verdict{Allowed: true, Rule: discovery.RuleExported}) {
		t.Errorf("the peer may call what is exported: %+v", v)
	}
	if v := discovery.MayCall(by, snap.Services.Get(own)); v.Allowed {
		t.Errorf("the peer may call what is not: %+v", v)
	}
	if q := by.Spec.Quota.WithDefaults(); q != (v1alpha1.ImportQuota{Services: 500, Ports: 2000, Pods: 1000}) || len(by.Spec.Denied) > 0 {
		t.Errorf("quota %+v, denied %v", q, by.Spec.Denied)
	}
}
