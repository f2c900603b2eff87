package takeover

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// proxies of a cluster; the agent is on n1 in z1.
const (
	onNode    = "10.0.0.1"
	inZone    = "10.0.0.2"
	inZoneToo = "10.0.0.3"
	inRegion  = "10.0.0.4"
	farAway   = "10.0.0.5"
	onNodeV6  = "fd01::1"
)

func planInventory(services ...Service) *Inventory {
	proxy := func(address, node, zone, region string) Proxy {
		return Proxy{Address: addr(address), Health: 15020, Locality: report.Locality{Node: node, Zone: zone, Region: region}}
	}
	return &Inventory{
		Self: report.Locality{Node: "n1", Zone: "z1", Region: "r1"}, Services: services,
		Proxies: []Proxy{
			proxy(onNode, "n1", "z1", "r1"), proxy(inZone, "n2", "z1", "r1"), proxy(inZoneToo, "n3", "z1", "r1"),
			proxy(inRegion, "n4", "z2", "r1"), proxy(farAway, "n5", "z3", "r2"), proxy(onNodeV6, "n1", "z1", "r1"),
		},
	}
}

func shop(addresses ...string) Service {
	s := Service{Name: "default/shop", Ports: []Port{{"TCP", 80, 20000}}}
	for _, a := range addresses {
		s.Addresses = append(s.Addresses, addr(a))
	}
	return s
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const vip, vip6 = "10.96.0.1", "fd00::1"
	good := Health{State: Alive, Report: proxyReport(true, map[uint16]string{20000: "shop"})}
	notReady := Health{State: Alive, Report: proxyReport(false, map[uint16]string{20000: "shop"})}
	elsewhere := Health{State: Alive, Report: proxyReport(true, map[uint16]string{20000: "other", 20001: "shop"})}
	idle := Health{State: Alive, Report: proxyReport(true, nil)}
	dead := Health{Report: good.Report}
	silent := Health{State: Silent, Report: good.Report}
	suspect := Health{State: Suspect, Report: good.Report}
	alone := shop(vip)
	alone.Alone = true
	tests := []struct {
		name    string
		service Service
		health  map[string]Health
		want    string // proxies and distance, or the reason, per port
	}{
		{"own node", shop(vip), map[string]Health{onNode: good, inZone: good, farAway: good}, "[10.0.0.1:20000] node"},
		{
			"own zone, all of them", shop(vip),
			map[string]Health{onNode: dead, inZone: good, inZoneToo: good, inRegion: good},
			"[10.0.0.2:20000 10.0.0.3:20000] zone",
		},
		{"own region", shop(vip), map[string]Health{inRegion: good, farAway: good}, "[10.0.0.4:20000] region"},
		{"any", shop(vip), map[string]Health{farAway: good}, "[10.0.0.5:20000] cluster"},
		{"none is alive", shop(vip), map[string]Health{onNode: dead}, "no proxy is alive"},
		{"none listens", shop(vip), map[string]Health{onNode: idle}, "no live proxy listens for it on port 20000"},
		{"the port is another service's there", shop(vip), map[string]Health{onNode: elsewhere, farAway: good}, "[10.0.0.5:20000] cluster"},
		{"one of the zone does not listen", shop(vip), map[string]Health{inZone: elsewhere, inZoneToo: good}, "[10.0.0.3:20000] zone"},
		{"a draining one is passed over", shop(vip), map[string]Health{onNode: notReady, inRegion: good}, "[10.0.0.4:20000] region"},
		{"a draining one is better than none", shop(vip), map[string]Health{farAway: notReady, inRegion: notReady}, "[10.0.0.4:20000] region"},
		{"ready and not ready are not mixed", shop(vip), map[string]Health{inZone: notReady, inZoneToo: good}, "[10.0.0.3:20000] zone"},
		{"silent ones while local endpoints are ready", shop(vip), map[string]Health{onNode: silent, inZone: silent}, "no proxy is alive"},
		{"silent ones while none is", alone, map[string]Health{inZone: silent, inZoneToo: silent}, "[10.0.0.2:20000 10.0.0.3:20000] zone"},
		{"a suspect one is better", alone, map[string]Health{onNode: silent, inZone: suspect}, "[10.0.0.2:20000] zone"},
		{"dead ones while no local endpoint is ready", alone, map[string]Health{onNode: dead}, "no proxy is alive"},
		{"families", shop(vip, vip6), map[string]Health{inZone: good, onNodeV6: good}, "[10.0.0.2:20000] zone; [[fd01::1]:20000] node"},
		{"one family only", shop(vip, vip6), map[string]Health{inZone: good}, "[10.0.0.2:20000] zone; no proxy is alive"},
		{"refused", Service{Name: "default/shop", Refused: "so it is"}, map[string]Health{onNode: good}, ""},
		{
			"waiting",
			Service{Name: "default/shop", Addresses: []netip.Addr{addr(vip)}, Ports: []Port{{"TCP", 80, 0}}, Waiting: true},
			map[string]Health{onNode: good},
			"the controller has not given it ports",
		},
		{
			"new port",
			Service{Name: "default/shop", Addresses: []netip.Addr{addr(vip)}, Ports: []Port{{"TCP", 80, 20000}, {"TCP", 81, 0}}},
			map[string]Health{onNode: good},
			"[10.0.0.1:20000] node; the controller has not given this port",
		},
		{
			"UDP",
			Service{Name: "default/shop", Addresses: []netip.Addr{addr(vip)}, Ports: []Port{{"UDP", 53, 0}}},
			map[string]Health{onNode: good},
			"only TCP",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			health := map[netip.Addr]Health{}
			for a, h := range tt.health {
				health[addr(a)] = h
			}
			plan := Decide(planInventory(tt.service), health)
			var got []string
			taken := 0
			for _, p := range plan.Services[0].Ports {
				if p.Reason != "" {
					got = append(got, p.Reason)
					continue
				}
				got = append(got, fmt.Sprint(p.Proxies, " ", p.Distance))
				rule := plan.Rules[taken]
				taken++
				var proxies []netip.AddrPort
				for _, a := range rule.Proxies {
					proxies = append(proxies, netip.AddrPortFrom(a, rule.Port))
				}
				if rule.Address.String() != p.Address || !slices.Equal(proxies, p.Proxies) {
					t.Errorf("rule %+v, but the status says %+v", rule, p)
				}
			}
			if text := strings.Join(got, "; "); !strings.HasPrefix(text, tt.want) || tt.want == "" && text != "" {
				t.Errorf("got %q, want %q", text, tt.want)
			}
			if taken != len(plan.Rules) {
				t.Errorf("%d rules, but the status has %d", len(plan.Rules), taken)
			}
			if err := (&nft.Ruleset{Services: plan.Rules}).Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Of many equally near proxies each node uses a few, always the same, and each is used by some node.
func TestDecideUsesAFewOfMany(t *testing.T) {
	t.Parallel()
	const proxies, nodes = 24, 40
	inv := &Inventory{Services: []Service{shop("10.96.0.1")}}
	health := map[netip.Addr]Health{}
	for i := range proxies {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		inv.Proxies = append(inv.Proxies, Proxy{Address: a, Health: 1})
		health[a] = Health{State: Alive, Report: proxyReport(true, map[uint16]string{20000: "shop"})}
	}
	count := map[netip.Addr]int{}
	for n := range nodes {
		inv.Self.Node = fmt.Sprint("node-", n)
		all := Decide(inv, health)
		for a := range all.Used {
			count[a]++
		}
		if len(all.Used) != usedProxies {
			t.Fatalf("%s uses %d proxies, want %d", inv.Self.Node, len(all.Used), usedProxies)
		}
		// One that is used dies: the others stay, and one joins them.
		gone := all.Rules[0].Proxies[0]
		before := health[gone]
		health[gone] = Health{}
		kept := 0
		for a := range Decide(inv, health).Used {
			if all.Used[a] {
				kept++
			}
		}
		health[gone] = before
		if kept != usedProxies-1 {
			t.Errorf("%s keeps %d of its proxies, want %d", inv.Self.Node, kept, usedProxies-1)
		}
	}
	for _, p := range inv.Proxies {
		if n := count[p.Address]; n < 4 || n > 26 {
			t.Errorf("%s is used by %d of %d nodes, want about %d", p.Address, n, nodes, nodes*usedProxies/proxies)
		}
	}
}

// Whatever objects say, the rules are such that the tables can hold them.
func TestDecideIsBounded(t *testing.T) {
	t.Parallel()
	inv := planInventory()
	health := map[netip.Addr]Health{addr(onNode): {State: Alive, Report: Report{Ready: true, Listeners: map[uint16]string{}}}}
	for i := range nft.MaxServices + 10 {
		s := shop(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String())
		inv.Services = append(inv.Services, s)
	}
	inv.Services = append(inv.Services, inv.Services[0]) // the same address twice
	health[addr(onNode)].Report.Listeners[20000] = "default/shop"
	plan := Decide(inv, health)
	if err := (&nft.Ruleset{Services: plan.Rules}).Validate(); err != nil {
		t.Fatal(err)
	}
	last := plan.Services[len(plan.Services)-1].Ports[0]
	if len(plan.Rules) != nft.MaxServices || last.Reason != "another Service has this address" {
		t.Errorf("%d rules, and the last Service: %+v", len(plan.Rules), last)
	}
}

func TestServiceState(t *testing.T) {
	t.Parallel()
	taken, left := report.PortStatus{Address: "a"}, report.PortStatus{Address: "a", Reason: "x"}
	udp := report.PortStatus{Reason: "only TCP is taken over"}
	for _, tt := range []struct {
		status report.ServiceStatus
		want   string
	}{
		{report.ServiceStatus{Refused: "x"}, stateRefused},
		{report.ServiceStatus{Ports: []report.PortStatus{taken, udp}}, stateTaken},
		{report.ServiceStatus{Ports: []report.PortStatus{taken, left}}, statePartly},
		{report.ServiceStatus{Ports: []report.PortStatus{left, udp}}, stateFailOpen},
		{report.ServiceStatus{}, stateFailOpen},
	} {
		if got := stateOf(&tt.status); got != tt.want {
			t.Errorf("state of %+v = %s, want %s", tt.status, got, tt.want)
		}
	}
}

// 10,000 Services and 20 proxies.
func BenchmarkDecide(b *testing.B) {
	inv, health := planInventory(), map[netip.Addr]Health{}
	inv.Proxies = nil
	listeners := map[uint16]string{}
	for i := range 10_000 {
		s := shop(netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}).String())
		s.Name = fmt.Sprint("default/service-", i)
		s.Ports[0].Target = uint16(20_000 + i)
		listeners[s.Ports[0].Target] = s.Name
		inv.Services = append(inv.Services, s)
	}
	for i := range 20 {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		inv.Proxies = append(inv.Proxies, Proxy{Address: a, Health: 1})
		health[a] = Health{State: Alive, Report: Report{Ready: true, Listeners: listeners}}
	}
	for b.Loop() {
		if plan := Decide(inv, health); len(plan.Rules) != len(inv.Services) {
			b.Fatal(len(plan.Rules))
		}
	}
}

// An import's Service has a name of its own; what proxies listen for is the service that it stands for.
func TestDecideImports(t *testing.T) {
	t.Parallel()
	inv := planInventory()
	s := shop("10.96.1.1")
	s.Name, s.Carries = "eastway-system/import-shop", s.Name
	inv.Services = []Service{s}
	health := map[netip.Addr]Health{addr(onNode): {State: Alive, Report: proxyReport(true, map[uint16]string{20000: "shop"})}}
	plan := Decide(inv, health)
	if len(plan.Rules) != 1 || plan.Rules[0].Address.Addr() != addr("10.96.1.1") || plan.Services[0].Service != s.Name ||
		plan.Services[0].Carries != "default/shop" {
		t.Errorf("%+v", plan)
	}
}

// TestFamilyWithoutProxies: where no proxy can have the address's calls it is said why, not that all are dead.
func TestFamilyWithoutProxies(t *testing.T) {
	t.Parallel()
	proxy := netip.MustParseAddr("10.0.0.1")
	inv := &Inventory{
		Proxies: []Proxy{{Address: proxy}},
		Services: []Service{{
			Name: "default/shop", Addresses: []netip.Addr{netip.MustParseAddr("fd00::10")}, Ports: []Port{{"TCP", 80, 20000}},
		}},
	}
	alive := map[netip.Addr]Health{proxy: {State: Alive}}
	if why := Decide(inv, alive).Services[0].Ports[0].Reason; !strings.Contains(why, "IP family as fd00::10") {
		t.Error(why)
	}
}
