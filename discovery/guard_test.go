package discovery

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/eastway/eastway/internal/bubble"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	guard := func(loopback bool) *Guard {
		g := &Guard{AllowLoopback: loopback, Host: func() ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("fd00::7")}, nil
		}}
		g.Own(netip.MustParseAddrPort("[::]:15443"))
		g.Own(netip.MustParseAddrPort("127.0.0.1:15000"))
		g.Own(netip.MustParseAddrPort("10.1.0.9:0"))
		return g
	}
	lax, strict := guard(true), guard(false)
	for _, test := range []struct {
		endpoint    string
		strict, lax Refusal
	}{
		{"10.1.0.8:80", "", ""},
		{"[fd00::8]:80", "", ""},
		{"10.1.0.7:80", "", ""},
		{"10.1.0.9:80", "", ""},
		{"10.1.0.8:15443", "", ""},
		{"127.0.0.1:80", RefusedLoopback, ""},
		{"127.9.9.9:80", RefusedLoopback, ""},
		{"[::1]:80", RefusedLoopback, ""},
		{"[::ffff:127.0.0.1]:80", RefusedLoopback, ""},
		{"0.0.0.0:80", RefusedUnspecified, RefusedUnspecified},
		{"0.1.2.3:80", RefusedUnspecified, RefusedUnspecified},
		{"[::]:80", RefusedUnspecified, RefusedUnspecified},
		{"[::ffff:0.0.0.0]:80", RefusedUnspecified, RefusedUnspecified},
		{"169.254.169.254:80", RefusedLinkLocal, RefusedLinkLocal},
		{"[::ffff:169.254.169.254]:80", RefusedLinkLocal, RefusedLinkLocal},
		{"[fe80::1]:80", RefusedLinkLocal, RefusedLinkLocal},
		{"[fe80::1%eth0]:80", RefusedLinkLocal, RefusedLinkLocal},
		{"224.0.0.1:80", RefusedMulticast, RefusedMulticast},
		{"[::ffff:224.0.0.1]:80", RefusedMulticast, RefusedMulticast},
		{"[ff02::1]:80", RefusedMulticast, RefusedMulticast},
		{"255.255.255.255:80", RefusedMulticast, RefusedMulticast},
		{"10.1.0.7:15443", RefusedOwnPort, RefusedOwnPort},
		{"[::ffff:10.1.0.7]:15443", RefusedOwnPort, RefusedOwnPort},
		{"[fd00::7]:15443", RefusedOwnPort, RefusedOwnPort},
		{"127.0.0.5:15443", RefusedOwnPort, RefusedOwnPort},
		{"127.0.0.1:15000", RefusedOwnPort, RefusedOwnPort},
		{"[::ffff:127.0.0.1]:15000", RefusedOwnPort, RefusedOwnPort},
		{"127.0.0.2:15000", RefusedLoopback, ""},
	} {
		endpoint := netip.MustParseAddrPort(test.endpoint)
		if got := strict.Check(endpoint); got != test.strict {
			t.Errorf("%s: %q, want %q", test.endpoint, got, test.strict)
		}
		if got := lax.Check(endpoint); got != test.lax {
			t.Errorf("%s with loopback allowed: %q, want %q", test.endpoint, got, test.lax)
		}
		want := test.strict
		switch {
		case want == RefusedOwnPort && endpoint.Addr().Unmap().IsLoopback():
			want = RefusedLoopback
		case want == RefusedOwnPort:
			want = ""
		}
		if got := (*Guard)(nil).Check(endpoint); got != want {
			t.Errorf("%s, no guard: %q, want %q", test.endpoint, got, want)
		}
	}
	for port, want := range map[uint16]bool{15443: true, 15000: true, 80: false, 0: false} {
		if got := strict.OwnPort(port); got != want {
			t.Errorf("port %d is an own one: %v", port, got)
		}
	}
	if (&Guard{}).Check(netip.AddrPort{}) != RefusedUnspecified {
		t.Error("no address at all is allowed")
	}
}

// The host's addresses are read again after a while; if that fails, those known before count.
func TestGuardReadsHostAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		answer := []netip.Addr{netip.MustParseAddr("10.1.0.7")}
		var failure error
		g := &Guard{Host: func() ([]netip.Addr, error) { reads++; return answer, failure }}
		check := func(addr string, want bool) {
			t.Helper()
			if got := g.IsHost(netip.MustParseAddr(addr)); got != want {
				t.Errorf("%s: %v", addr, got)
			}
		}
		check("10.1.0.7", true)
		check("10.1.0.8", false)
		answer = []netip.Addr{netip.MustParseAddr("10.1.0.8")}
		check("10.1.0.8", false)
		if reads != 1 {
			t.Errorf("read %d times", reads)
		}
		bubble.Pass(hostAddressesFor + 1)
		check("10.1.0.8", true)
		check("::ffff:10.1.0.8", true)
		answer, failure = nil, errors.New("no")
		bubble.Pass(hostAddressesFor + 1)
		check("10.1.0.8", true)
	})
}

func TestRefusalsHaveTexts(t *testing.T) {
	t.Parallel()
	for _, r := range Refusals() {
		if r.Text() == string(r) {
			t.Errorf("%s has no text", r)
		}
	}
}
