package discovery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// A peer does not get the calls of a service that the own cluster has and does not share: not its endpoints, its ports nor its spec count. That
// is shown with what to do, and a change of the Service or the Peer holds at once.
func TestPrivateServices(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	set := func(private, here bool, rules *v1alpha1.ImportRules) {
		l := localWith([]string{"evil", "good"}, pay)
		if here {
			s := newService(cart, 1)
			s.Private = private
			if private {
				s.Export = nil
			}
			l.Services = l.Services.With(cart, s)
		}
		l.Peers["evil"].Spec.Imports = rules
		c.SetLocal(l)
	}
	allow := func(patterns ...string) *v1alpha1.ImportRules { return &v1alpha1.ImportRules{Allow: patterns} }
	set(true, true, nil)
	for _, peer := range []string{"evil", "good"} {
		u := updateOf(1, 0, 1, 1_000_000, cart, pay)
		u.Exports[cart] = Metadata{
			Ports: append(u.Exports[cart].Ports, ServicePort{Port: 81, Protocol: TCP}), Spec: ServiceSpec{SessionAffinity: "ClientIP"},
		}
		must(t, c.UpdateRemote(ReplicaID{peer, "r"}, u))
	}
	for _, step := range []struct {
		name          string
		private, here bool
		rules         *v1alpha1.ImportRules
		used, unused  string
		notUsed       int // of evil, in the metric
	}{
		{"private", true, true, nil, "", "evil good", 1},
		{"its name is allowed", true, true, allow("shop/cart", "bank/*"), "evil", "good", 0},
		{"its namespace is", true, true, allow("shop/*", "bank/*"), "evil", "good", 0},
		{"everything is: that names nothing", true, true, allow("*/*"), "", "evil good", 1},
		{"a name in any namespace is", true, true, allow("*/cart", "bank/*"), "", "evil good", 1},
		{"a namespace beside it is", true, true, allow("shop2/*", "*/*"), "", "evil good", 1},
		{"denied", true, true, &v1alpha1.ImportRules{Deny: []string{"shop/*"}}, "", "good", 1},
		{"shared", false, true, nil, "evil good", "", 0},
		{"private again", true, true, nil, "", "evil good", 1},
		{"not here", false, false, nil, "evil good", "", 0},
	} {
		set(step.private, step.here, step.rules)
		s := c.Snapshot().Services.Get(cart)
		var used []string
		for i := range s.Peers {
			used = append(used, s.Peers[i].Peer)
		}
		if got, unused := strings.Join(used, " "), strings.Join(s.Unused, " "); got != step.used || unused != step.unused {
			t.Errorf("%s: %q are used and %q are not, want %q and %q", step.name, got, unused, step.used, step.unused)
		}
		if more := slices.ContainsFunc(s.Ports, func(p ServicePort) bool { return p.Port == 81 }); more != (step.used != "") {
			t.Errorf("%s: ports %v", step.name, s.Ports)
		}
		if sticky := s.Decisive("a").SessionAffinity != ""; step.used == "" && sticky {
			t.Errorf("%s: a peer decides over the spec", step.name)
		}
		if len(c.Snapshot().Services.Get(pay).Peers) == 0 && step.notUsed == 0 {
			t.Errorf("%s: no peer has the other service", step.name)
		}
		problems := strings.Join(c.Snapshot().Problems(), "\n")
		for _, peer := range []string{"evil", "good"} {
			want := fmt.Sprintf("peer %s exports 1 services that this cluster has too, such as shop/cart", peer)
			remedy := "list shop/cart in spec.imports.allow of Peer " + peer
			said := strings.Contains(problems, want) && strings.Contains(problems, remedy)
			if said != slices.Contains(s.Unused, peer) {
				t.Errorf("%s: the problems are %q", step.name, problems)
			}
		}
		expected := fmt.Sprintf(`
# HELP eastway_discovery_peer_services_not_used Services that the peer exports and that its Peer, or the owner here, does not let be used.
# TYPE eastway_discovery_peer_services_not_used gauge
eastway_discovery_peer_services_not_used{peer="evil"} %d
eastway_discovery_peer_services_not_used{peer="good"} %d
`, step.notUsed, strings.Count(step.unused, "good"))
		if err := testutil.CollectAndCompare(newCatalogCollector(c), strings.NewReader(expected),
			"eastway_discovery_peer_services_not_used"); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// Each peer that exports what is not shared is logged, once for many updates.
func TestUnusedExportsAreLogged(t *testing.T) {
	t.Parallel()
	core, log := observer.New(zap.WarnLevel)
	c := NewCatalog(nil)
	x, err := NewExchange(ExchangeConfig{Cluster: "a", Catalog: c, Log: zap.New(core)})
	must(t, err)
	l := localWith([]string{"b"}, cart, pay)
	private := *l.Services.Get(cart)
	private.Export, private.Private = nil, true
	l.Services = l.Services.With(cart, &private)
	c.SetLocal(l)
	s := &session{exchange: x, link: ReplicaID{"b", "r"}}
	x.enter(s)
	must(t, x.update(s, updateOf(1, 0, 1, 1, pay, echo)))
	if lines := log.All(); len(lines) > 0 {
		t.Fatalf("%v", lines)
	}
	for i := range uint64(10) {
		must(t, x.update(s, updateOf(1, 0, i+2, uint32(i), pay, echo, cart)))
	}
	lines := log.All()
	if len(lines) != 1 {
		t.Fatalf("%d lines: %v", len(lines), lines)
	}
	if f := lines[0].ContextMap(); f["services"] != int64(1) || f["first"] != "shop/cart" || f["peer"] != "b" || f["remedy"] == "" {
		t.Errorf("%v", f)
	}
}
