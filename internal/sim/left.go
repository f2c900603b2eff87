package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/sim/leak"
	"github.com/eastway/eastway/internal/sim/record"
)

// idleGauges are 0 while no call is under way and all is well.
func idleGauges() []string {
	return []string{
		"eastway_connections_active", "eastway_tunnel_streams", "eastway_failover_ejected_endpoints", "eastway_failover_listener_errors",
	}
}

// endedGauges are 0, or not there, when a process has ended.
func endedGauges() []string {
	return []string{"eastway_connections_active", "eastway_tunnel_streams", "eastway_tunnel_connections", "eastway_tunnel_links"}
}

// gaugeProblem is the first gauge that is not 0.
func (r *proxyRun) gaugeProblem(names []string) string {
	families, err := r.registry.Gather()
	if err != nil {
		return "gather metrics: " + err.Error()
	}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			if v := m.GetGauge().GetValue(); v != 0 {
				return fmt.Sprintf("%s%v is %v", f.GetName(), m.GetLabel(), v)
			}
		}
	}
	return ""
}

// checkEnded looks for what a process has left whose Runs have returned.
func (r *proxyRun) checkEnded() {
	w := r.proxy.w
	if s := r.gaugeProblem(endedGauges()); s != "" {
		w.findings.violate(RuleClean, "%s has ended: %s", r.replica, s)
	}
	if n := len(r.sessions.Open()); n > 0 {
		w.findings.violate(RuleClean, "%s has ended: %d sessions of its tunnels are open", r.replica, n)
	}
}

// checkLeft looks for what nothing should have left behind.
func (w *world) checkLeft() {
	pass(w.http2Lingers())
	leak.ForgetStoppedTimers()
	synctest.Wait()
	// Before time passes: a timer that would fire later holds them, too.
	if held := w.parts.Held(); len(held) > 0 {
		w.findings.violate(RuleClean, "processes have ended, and something still refers to: %s", strings.Join(held, ", "))
	}
	pass(2 * time.Minute) // the network forgets what it cannot deliver
	synctest.Wait()
	if n, bytes := w.net.Open(), w.net.Buffered(); n > 0 || bytes > 0 {
		w.findings.violate(RuleClean, "%d ends of connections and %d bytes are left in the network", n, bytes)
	}
	if n := w.net.Listening(); n > 0 {
		w.findings.violate(RuleClean, "%d ports are still open", n)
	}
	if n, listeners := w.memory.Open(); n > 0 || listeners > 0 {
		w.findings.violate(RuleClean, "%d sides of sessions and %d listeners are left in the in-memory transport", n, listeners)
	}
	if left := leak.Goroutines(); len(left) > 0 {
		w.findings.violate(RuleClean, "%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
}

// http2Lingers is longer than net/http remembers HTTP/2 connections that have ended: its client for 5 s, its server for the idle timeout
// (1 h) if they broke while a request was under way.
func (w *world) http2Lingers() time.Duration {
	const client, server = 6 * time.Second, time.Hour + time.Minute
	var longest time.Duration
	for _, r := range w.ledger.replies {
		if !r.client.HTTP2 {
			continue
		}
		longest = max(longest, client)
		broke := r.err != nil
		lines := w.access.Of(r.from)
		for i := range lines {
			broke = broke || slices.ContainsFunc(lines[i].Attempts, func(t record.Attempt) bool {
				return t.Result != "accepted" && t.Result != "answered"
			})
		}
		if broke {
			return server
		}
	}
	return longest
}
