package takeover

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/takeover"
	"github.com/eastway/eastway/internal/takeover/nft"
)

// manyServices is what the tables are filled with, beside the Services that are called.
const manyServices = 1000

// Connections spread over equally near proxies; with session affinity a client stays with one.
func TestSpreadAndAffinity(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	a, b, c := n.proxy(t, "a", sameZone), n.proxy(t, "b", sameZone), n.proxy(t, "c", far)
	for _, p := range []*proxy{a, b, c} {
		p.serve(t, 20000, "default/spread")
		p.serve(t, 20001, "default/sticky")
	}
	w := newWorld(here, a, b, c)
	sticky := service("sticky", 20001, "10.96.0.11", "fd00:10:96::11")
	sticky.Affinity = true
	w.takeOver(service("spread", 20000, "10.96.0.10", "fd00:10:96::10"), sticky)
	n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w }).ready(t)

	const calls, clients = 40, 8
	byClient := map[string]map[string]int{}
	for i := range clients {
		client := n.pod(t, fmt.Sprintf("client%d", i))
		for _, clusterIP := range []string{"10.96.0.11", "fd00:10:96::11", "10.96.0.10", "fd00:10:96::10"} {
			key := fmt.Sprint(clusterIP, " ", i)
			byClient[key] = map[string]int{}
			for range calls {
				name, _, err := call(t.Context(), client.Namespace, port80(clusterIP))
				if err != nil {
					t.Fatal(err)
				}
				byClient[key][name]++
			}
		}
	}
	used := map[string]int{}
	for key, names := range byClient {
		affinity := strings.Contains(key, "11 ")
		if names["c"] > 0 {
			t.Errorf("%s: calls went to %v, although a and b are nearer than c", key, names)
		}
		if affinity && len(names) != 1 {
			t.Errorf("%s: calls with session affinity went to %v", key, names)
		}
		// One of 2^40 runs fails by chance.
		if !affinity && len(names) != 2 {
			t.Errorf("%s: calls went to %v, want both", key, names)
		}
		for name, count := range names {
			used[name] += count
		}
	}
	if used["a"] < calls || used["b"] < calls {
		t.Errorf("calls of all clients: %v", used)
	}
}

// A proxy that calls a taken-over Service and is sent to itself gets its answer.
func TestHairpin(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	a := n.proxy(t, "a", here)
	a.serve(t, 20000, "default/shop")
	w := newWorld(here, a)
	w.takeOver(service("shop", 20000, "10.96.0.10", "fd00:10:96::10"))
	n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w }).ready(t)
	for _, address := range []netip.AddrPort{port80("10.96.0.10"), port80("fd00:10:96::10")} {
		name, from, err := call(t.Context(), a.Namespace, address)
		if err != nil || name != "a" || from == a.v4.String() || from == a.v6.String() {
			t.Errorf("%s: %q answers, and takes the caller for %q, %v", address, name, from, err)
		}
	}
}

// What others do to our tables is undone.
func TestForeignChangesAreHealed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, change string }{
		{"table deleted", "delete table ip eastway"},
		{"ruleset flushed", "flush ruleset"},
		{"rules flushed", "flush table ip eastway"},
		{"map flushed", "flush map ip eastway services"},
		{"rule inserted", "insert rule ip eastway prerouting accept"},
		{"chain replaced", "flush chain ip eastway prerouting; delete chain ip eastway prerouting; " +
			"add chain ip eastway prerouting { type filter hook input priority 0; }"},
	}
	n := newNode(t)
	client, a := n.pod(t, "client"), n.proxy(t, "a", here)
	a.serve(t, 20000, "default/shop")
	w := newWorld(here, a)
	w.takeOver(service("shop", 20000, "10.96.0.10"))
	n.agent(t, entryLife, func(c *takeover.Config) { c.Source = w }).ready(t)
	shop := port80("10.96.0.10")
	n.kubeProxy(t, shop, netip.AddrPort{})
	for _, tt := range tests { // one after the other: they share the node
		n.nft(t, tt.change)
		if _, _, err := call(t.Context(), client.Namespace, shop); err == nil {
			t.Logf("%s: healed already", tt.name)
		}
		answers(t, client.Namespace, shop, "a", 10*time.Second)
	}
}

// A thousand Services are one transaction, and making it again disturbs no call.
func TestManyServices(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	client, a := n.pod(t, "client"), n.proxy(t, "a", here)
	a.serve(t, 20000, "default/shop")
	shop := port80("10.96.0.10")
	table, err := nft.New(nft.Config{Timeout: entryLife, NetNS: n.file})
	if err != nil {
		t.Fatal(err)
	}
	rules := &nft.Ruleset{Services: []nft.Service{{Address: shop, Port: 20000, Proxies: []netip.Addr{a.v4}}}}
	if err := table.Apply(rules); err != nil {
		t.Fatal(err)
	}
	for i := range manyServices {
		address := netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)})
		rules.Services = append(rules.Services, nft.Service{
			Address: netip.AddrPortFrom(address, 80), Port: 21000, Proxies: []netip.Addr{a.v4, n.pod4(i % 3)},
		})
	}
	stop := load(t, client, shop)
	for i := range 30 {
		if i == 10 { // as a new agent does
			if table, err = nft.New(nft.Config{Timeout: entryLife, NetNS: n.file}); err != nil {
				t.Fatal(err)
			}
		}
		some := &nft.Ruleset{Services: rules.Services[:1+manyServices*(i%2)]}
		if err := table.Apply(some); err != nil {
			t.Fatal(err)
		}
	}
	calls, errs := stop()
	if len(errs) > 0 || calls < 10 {
		t.Errorf("of %d calls %d failed: %v", calls, len(errs), errs)
	}
	t.Logf("%d calls", calls)
	if got := strings.Count(n.nft(t, "list map ip eastway services"), "goto group-"); got != manyServices+1 {
		t.Errorf("%d entries, want %d", got, manyServices+1)
	}
	if err := table.Delete(); err != nil {
		t.Fatal(err)
	}
	if list := n.list(t); list != "" {
		t.Errorf("left over:\n%s", list)
	}
}

// pod4 is some pod's address.
func (*node) pod4(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 0, byte(100 + i)}) }

// The packet check passes where nftables sees calls, and finds a data path that translates them first.
func TestPacketCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, clusterIP, bypass string
		bypassed                bool
	}{
		{"IPv4", "10.96.0.1", "", false},
		{"IPv6", "fd00:10:96::1", "", false},
		{"another translates it", "10.96.0.1", "dnat to 10.244.0.1:8080", true},
		{"another drops it", "10.96.0.1", "drop", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.pod(t, "apiserver").answer(t, 8080, "apiserver")
			if tt.bypass != "" {
				n.nft(t, `add table ip lb
					add chain ip lb output { type nat hook output priority -110; }
					add rule ip lb output ip daddr `+tt.clusterIP+` tcp dport 80 `+tt.bypass)
			}
			ag := n.agent(t, entryLife, func(c *takeover.Config) {
				c.Source, c.CheckAddress = newWorld(here), port80(tt.clusterIP)
			})
			eventually(t, 20*time.Second, "the check has a result", func() bool { return ag.Status().Datapath.Checked })
			if got := ag.Status().Datapath; (got.Bypassed != "") != tt.bypassed {
				t.Errorf("datapath = %+v", got)
			}
		})
	}
}

// An agent that is removed takes its tables with it; one that is replaced leaves them.
func TestRemoval(t *testing.T) {
	t.Parallel()
	for _, removed := range []bool{false, true} {
		t.Run(fmt.Sprint(removed), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			a := n.proxy(t, "a", here)
			a.serve(t, 20000, "default/shop")
			w := newWorld(here, a)
			w.takeOver(service("shop", 20000, "10.96.0.10", "fd00:10:96::10"))
			ag := n.agent(t, entryLife, func(c *takeover.Config) {
				c.Source, c.CheckAddress = w, port80("10.96.0.1")
				c.Removed = func(context.Context) bool { return removed }
			})
			eventually(t, 5*time.Second, "the tables are there", func() bool { return strings.Contains(n.list(t), "10.96.0.10") })
			ag.end()
			if list := n.list(t); (list == "") != removed {
				t.Errorf("removed: %v, but the tables are:\n%s", removed, list)
			}
		})
	}
}
