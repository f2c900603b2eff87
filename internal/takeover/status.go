package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/takeover/report"
)

// Listen binds the address, which the successor of this process may bind at the same time. The server answers /healthz,
// /readyz and /metrics to any client, since it is on the node's own network, and /takeovers to those on the node; all read-only.
func Listen(ctx context.Context, address string, a *Agent, metrics interface {
	prometheus.Registerer
	prometheus.Gatherer
}, log *zap.Logger,
) (*httpserve.Server, error) {
	l, err := a.cfg.Env.listen(ctx, address, true)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", httpserve.ListenError(address, err))
	}
	s, err := httpserve.New(l, handler(a, metrics, log), log, metrics)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", err)
	}
	return s, nil
}

func handler(a *Agent, metrics prometheus.Gatherer, log *zap.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Healthy(), "") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		// A bypassed datapath is shown, but the agent is ready: restarting it changes nothing.
		detail := ""
		if b := a.checker.datapath().Bypassed; b != "" {
			detail = "nftables is bypassed on this node, takeover has no effect here: " + b + "\n"
		}
		if missing := a.Status().Unproven; missing != "" {
			detail += missing + "\n"
		}
		answer(w, a.Ready(), detail)
	})
	mux.Handle("GET /metrics", httpserve.Metrics(metrics, log))
	mux.HandleFunc("GET "+report.Path, func(w http.ResponseWriter, r *http.Request) {
		if !fromNode(r) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "services are listed only to clients on this node's loopback device: "+
				"use eastway check, or kubectl port-forward to this pod\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.Status()) // the reader may be gone
	})
	return mux
}

// fromNode is true for clients on the node's own loopback device, where port-forwards to this pod come from, too.
func fromNode(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

func answer(w http.ResponseWriter, err error, detail string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		detail = err.Error() + "\n" + detail
	} else {
		detail = "ok\n" + detail
	}
	_, _ = io.WriteString(w, detail)
}

func proxyStatuses(inv *Inventory, health map[netip.Addr]Health) []report.ProxyStatus {
	out := make([]report.ProxyStatus, len(inv.Proxies))
	for i, p := range inv.Proxies {
		h := health[p.Address]
		out[i] = report.ProxyStatus{
			Address: p.Address, Pod: p.Pod, Locality: p.Locality, Distance: distanceOf(&inv.Self, &p.Locality).String(),
			Alive: h.State == Alive, Suspect: h.State == Suspect, Silent: h.State == Silent,
			Ready: h.State == Alive && h.Report.Ready, Listeners: len(h.Report.Listeners),
		}
	}
	return out
}

// Status is the agent's current state.
func (a *Agent) Status() report.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Datapath = a.checker.datapath()
	if err := a.cfg.Credentials.missing(); err != nil {
		s.Unproven = err.Error()
	}
	return s
}

// Ready is nil when the tables are in line with what is known.
func (a *Agent) Ready() error {
	s := a.Status()
	switch {
	case s.Written.IsZero() && s.Error == "":
		return errors.New("not everything is known yet: the API server has not answered, or not every proxy has been probed")
	case time.Since(s.Written) > EntryLife:
		return fmt.Errorf("the tables' entries have timed out: %s", s.Error)
	}
	return nil
}

// Healthy is nil unless the main loop is stuck.
func (a *Agent) Healthy() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if silent := time.Since(a.beat); silent > stuckAfter {
		return fmt.Errorf("the main loop has been stuck for %s", silent.Round(time.Second))
	}
	return nil
}
