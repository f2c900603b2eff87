package takeover

import (
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addr(s string) netip.Addr         { return netip.MustParseAddr(s) }
func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// proxyReport is that of a proxy that listens for "default/NAME" on the given ports.
func proxyReport(ready bool, listeners map[uint16]string) Report {
	r := Report{Ready: ready, Listeners: map[uint16]string{}}
	for port, name := range listeners {
		r.Listeners[port] = "default/" + name
	}
	return r
}

func testMetrics(t *testing.T) *metrics {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}
