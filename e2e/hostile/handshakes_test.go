package hostile

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel"
)

// Connections that prove nothing keep no peer behind the same address out, and take nothing that stays.
func TestSquattersKeepNobodyOut(t *testing.T) { //nolint:paralleltest // it measures the process
	for _, tt := range []struct {
		name   string
		honest func(*tunnel.Config)
	}{
		{"silent connections", overTCP},
		{"slow ClientHello", overTCP},
		{"silent after the ClientHello", overTCP},
		{"QUIC, no ClientHello", overQUIC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := startWorld(t, &config{})
			w.visit(t, tt.honest) // so that all that lasts is there
			w.suffer(t, &attack{
				name: tt.name, budget: 128 * MiB,
				begin: func(ctx context.Context, t *testing.T) func() {
					t.Helper()
					end := w.run(ctx, t, tt.name, w.victim.node.Addr().String())
					await(t, "no place is left", func() bool { return len(w.victim.node.Problems()) > 0 })
					return end
				},
				meanwhile: func(t *testing.T) {
					t.Helper()
					w.visit(t, tt.honest)
				},
			})
			if problems := strings.Join(w.victim.problems(), "\n"); !strings.Contains(problems, "to admit others") {
				t.Errorf("status does not say that connections were ended: %q", problems)
			}
			if n := strings.Count(w.victim.log.String(), "to admit others"); n < 1 || n > 2+int(*attackFor/time.Minute) {
				t.Errorf("%d log lines about it", n)
			}
		})
	}
}

// A stranger that begins handshakes as fast as the victim answers has a quarter of the cores for it: peers come in, and calls are answered.
func TestFloodOfHandshakes(t *testing.T) { //nolint:paralleltest // it measures the process
	const name = "flood of ClientHellos"
	w := startWorld(t, &config{})
	w.visit(t, overTCP)
	w.suffer(t, &attack{
		name: name, budget: 64 * MiB, share: 0.5, // a quarter, and what accepting takes
		begin: func(ctx context.Context, t *testing.T) func() {
			t.Helper()
			return w.run(ctx, t, name, w.victim.node.Addr().String())
		},
		meanwhile: func(t *testing.T) {
			t.Helper()
			w.visit(t, overTCP)
		},
	})
}

func overTCP(c *tunnel.Config)  { c.DisableQUIC = true }
func overQUIC(c *tunnel.Config) { c.DisableTCP = true }

// visit starts a proxy of the guest, which has to get a tunnel to the victim, and stops it.
func (w *world) visit(t *testing.T, change func(*tunnel.Config)) {
	t.Helper()
	var cfg tunnel.Config
	change(&cfg)
	n, stop := w.join(t, guest, cfg)
	await(t, "the peer has a tunnel", func() bool { return n.State(victim).Usable })
	stop()
	pass(min(comeBack, *attackFor/10)) // its handshakes cost as much as others'
}
