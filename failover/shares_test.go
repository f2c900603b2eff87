package failover

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// connectFrom connects an application that has another address. It may see a reset already here.
func (w *world) connectFrom(from string) (*net.TCPConn, error) {
	local := net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	c, err := net.DialTCP("tcp4", local, net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.service.Addresses[0], servicePort)))
	if err == nil {
		w.t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func (w *world) dialFrom(from string) *net.TCPConn {
	w.t.Helper()
	c, err := w.connectFrom(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestOneSourceTakesNotAll: one pod that keeps connections open gets three quarters of a limit; others are served, an operator sees it,
// and all comes back.
func TestOneSourceTakesNotAll(t *testing.T) {
	t.Parallel()
	for limit, set := range map[string]setup{
		"proxy_share":    func(_ *world, c *Config) { c.MaxConnections = 16 },
		"listener_share": func(_ *world, c *Config) { c.MaxConnectionsPerListener = 16 },
	} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, set, locals("LIVE", here))
			hog := freshAddress().String()
			var open []*net.TCPConn
			for range 12 {
				open = append(open, w.dialFrom(hog))
			}
			w.eventually("in flight", func() bool { return w.proxy.Active() == 12 })
			for range 3 {
				c, err := w.connectFrom(hog)
				if err == nil {
					_, err = c.Read(make([]byte, 1))
				}
				if !isReset(err) {
					t.Errorf("the hog's next connection: %v, want a reset", err)
				}
			}
			for range 3 {
				if got, err := w.ask("hi"); err != nil || got != "LIVE got hi" {
					t.Errorf("another source: %q, %v", got, err)
				}
			}
			if n := testutil.ToFloat64(w.proxy.metrics.full.WithLabelValues("shop/echo", limit)); n != 3 {
				t.Errorf("%v counted, want 3", n)
			}
			if said := strings.Join(w.proxy.Problems(), "\n"); !strings.Contains(said, "service shop/echo: connections refused: their source") {
				t.Errorf("status: %q", said)
			}
			lines := w.log.FilterMessageSnippet("connections refused: their source").All()
			if len(lines) != 1 || lines[0].ContextMap()["source"] != hog+"/32" || lines[0].ContextMap()["remedy"] == "" {
				t.Errorf("logged %v", lines)
			}
			for _, c := range open {
				_ = c.Close()
			}
			w.eventually("free", func() bool { return w.proxy.Active() == 0 })
			if got, err := ask(t, w.dialFrom(hog), "hi"); err != nil || got != "LIVE got hi" {
				t.Errorf("the hog, later: %q, %v", got, err)
			}
		})
	}
}
