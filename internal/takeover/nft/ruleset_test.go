package nft

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrs(words ...string) []netip.Addr {
	out := make([]netip.Addr, len(words))
	for i, w := range words {
		out[i] = netip.MustParseAddr(w)
	}
	return out
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() Ruleset {
		return Ruleset{
			Services: []Service{
				{Address: netip.MustParseAddrPort("10.96.0.1:80"), Port: 20000, Proxies: addrs("10.0.0.1")},
				{Address: netip.MustParseAddrPort("[fd00::1]:80"), Port: 20000, Proxies: addrs("fd01::1")},
			},
			Check: &Check{Mark: 1, Address: netip.MustParseAddrPort("10.96.0.9:443"), Listener: netip.MustParseAddrPort("127.0.0.1:1")},
		}
	}
	tests := []struct {
		name   string
		change func(*Ruleset)
		want   string // "" is valid
	}{
		{"good", func(*Ruleset) {}, ""},
		{"nothing", func(r *Ruleset) { *r = Ruleset{} }, ""},
		{"too many", func(r *Ruleset) { r.Services = make([]Service, MaxServices+1) }, "take over fewer"},
		{"no address", func(r *Ruleset) { r.Services[0].Address = netip.AddrPort{} }, "Services[0].Address"},
		{"mapped", func(r *Ruleset) { r.Services[0].Address = netip.MustParseAddrPort("[::ffff:10.96.0.1]:80") }, "Services[0].Address"},
		{"twice", func(r *Ruleset) { r.Services[1] = r.Services[0] }, "Services[1].Address"},
		{"no port", func(r *Ruleset) { r.Services[1].Port = 0 }, "Services[1].Port"},
		{"no proxy", func(r *Ruleset) { r.Services[1].Proxies = nil }, "Services[1].Proxies"},
		{"too many proxies", func(r *Ruleset) { r.Services[1].Proxies = make([]netip.Addr, MaxProxies+1) }, "Services[1].Proxies"},
		{"families", func(r *Ruleset) { r.Services[1].Proxies = addrs("10.0.0.1") }, "not of the family"},
		{"no mark", func(r *Ruleset) { r.Check.Mark = 0 }, "Check"},
		{"check's families", func(r *Ruleset) { r.Check.Listener = netip.MustParseAddrPort("[::1]:1") }, "Check"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := good()
			tt.change(&r)
			err := r.Validate()
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	service := func(address string, affinity bool, proxies ...string) Service {
		return Service{Address: netip.MustParseAddrPort(address), Port: 20000, Proxies: addrs(proxies...), Affinity: affinity}
	}
	v4, v6 := compile(&Ruleset{
		Services: []Service{
			service("10.96.0.1:80", false, "10.0.0.2", "10.0.0.1"),
			service("[fd00::1]:80", false, "fd01::1"),
			service("10.96.0.2:80", false, "10.0.0.1", "10.0.0.2", "10.0.0.1"),
			service("10.96.0.3:80", true, "10.0.0.1", "10.0.0.2"),
			service("10.96.0.4:80", false, "10.0.0.3"),
		},
		Check: &Check{Mark: 1, Address: netip.MustParseAddrPort("[fd00::9]:443"), Listener: netip.MustParseAddrPort("[::1]:1")},
	})
	if want := []int{0, 0, 1, 2}; !slices.Equal(v4.group, want) {
		t.Errorf("IPv4 services are in groups %v, want %v: the same proxies are one group, whatever their order", v4.group, want)
	}
	if want := addrs("10.0.0.1", "10.0.0.2", "10.0.0.3"); !slices.Equal(v4.hairpin, want) {
		t.Errorf("hairpin = %v, want %v", v4.hairpin, want)
	}
	if !slices.Equal(v4.groups[0].proxies, addrs("10.0.0.1", "10.0.0.2")) || v4.groups[0].affinity || !v4.groups[1].affinity {
		t.Errorf("groups = %+v", v4.groups)
	}
	if len(v6.services) != 1 || len(v6.groups) != 1 || v6.check == nil || v4.check != nil {
		t.Errorf("IPv6 content = %+v", v6)
	}
	if empty, _ := compile(&Ruleset{}); !empty.empty() || v6.empty() {
		t.Error("empty() is wrong")
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	proxies := addrs("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
	all := slots(proxies)
	share := map[netip.Addr]int{}
	for _, p := range all {
		share[p]++
	}
	for _, p := range proxies {
		if n := share[p]; n < affinitySlots/8 || n > affinitySlots/2 {
			t.Errorf("%s has %d of %d slots, want about %d", p, n, affinitySlots, affinitySlots/len(proxies))
		}
	}
	for i, p := range slots(proxies[1:]) {
		if all[i] != proxies[0] && p != all[i] {
			t.Errorf("slot %d moves from %s to %s although only %s left", i, all[i], p, proxies[0])
		}
	}
}
