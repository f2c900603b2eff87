package takeover

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/takeover/report"
)

// Listen binds the address, which the successor of this process may bind at the same time. The server answers /healthz,
// /readyz, /metrics and /takeovers, all read-only: it is on the node's own network, open to any client there.
func Listen(ctx context.Context, address string, a *Agent, metrics prometheus.Gatherer, log *zap.Logger) (*httpserve.Server, error) {
	l, err := a.cfg.Env.listen(ctx, address, true)
	if err != nil {
		return nil, fmt.Errorf("takeover: %w", httpserve.ListenError(address, err))
	}
	s, err := httpserve.New(l, handler(a, metrics, log), log)
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
		answer(w, a.Ready(), detail)
	})
	mux.Handle("GET /metrics", httpserve.Metrics(metrics, log))
	mux.HandleFunc("GET "+report.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a.Status()) // the reader may be gone
	})
	return mux
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
