package main

import (
	"net/netip"
	"testing"

	"github.com/eastway/eastway/discovery"
)

// The ports of the flags are no endpoints, whether they are at one address or at all.
func TestGuardOfFlags(t *testing.T) {
	t.Parallel()
	o := proxyOptions{listen: ":15443", admin: "127.0.0.1:15000", health: "", agents: ":15024", loopbackEndpoints: true}
	g := o.newGuard()
	for endpoint, want := range map[string]discovery.Refusal{
		"127.0.0.2:15443": discovery.RefusedOwnPort,
		"127.0.0.1:15000": discovery.RefusedOwnPort,
		"127.0.0.2:15024": discovery.RefusedOwnPort,
		"127.0.0.2:15000": "",
		"127.0.0.1:80":    "",
	} {
		if got := g.Check(netip.MustParseAddrPort(endpoint)); got != want {
			t.Errorf("%s: %q, want %q", endpoint, got, want)
		}
	}
	o.loopbackEndpoints = false
	if got := o.newGuard().Check(netip.MustParseAddrPort("127.0.0.1:80")); got != discovery.RefusedLoopback {
		t.Errorf("with loopback off: %q", got)
	}
}
