package source

import (
	"net"
	"net/netip"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7:1234":          "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1234": "192.0.2.7/32",
		"[2001:db8:1:2::9]:1234":  "2001:db8:1:2::/64",
		"[fe80::9%eth0]:1234":     "fe80::/64",
	} {
		if got := Of(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s counts for %v, want %s", addr, got, want)
		}
	}
	for _, text := range []string{"", "x", "192.0.2.7", "pod-1:80", "192.0.2.7:x"} {
		if got := OfText(text); got.IsValid() {
			t.Errorf("%q counts for %v", text, got)
		}
	}
	if got := OfText("192.0.2.7:1234"); got.String() != "192.0.2.7/32" {
		t.Error(got)
	}
	if got := Of(&net.UnixAddr{Name: "x"}); got.IsValid() {
		t.Errorf("a Unix socket counts for %v", got)
	}
}
