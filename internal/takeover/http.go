package takeover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

// The health listener. It is on the node's own network, where strangers may be.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	// idleTimeout outlives the interval of usual scrapers (15 s, 60 s).
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 16 << 10
	// maxHealthConns bounds what a client that opens connections and forgets them can take.
	maxHealthConns = 64
	// shutdownTimeout lets answers under way finish.
	shutdownTimeout = time.Second
)

// Server answers /healthz, /readyz, /metrics and /takeovers, and nothing that changes anything.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen binds the address, which the successor of this process may do at the same time; Run serves.
func Listen(ctx context.Context, address string, a *Agent, metrics prometheus.Gatherer, log *zap.Logger) (*Server, error) {
	l, err := a.cfg.Env.listen(ctx, address, true)
	if err != nil {
		return nil, fmt.Errorf("takeover: listen on %s for health: %w: choose another address", address, err)
	}
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return nil, fmt.Errorf("takeover: log: %w", errors.Join(err, l.Close()))
	}
	return &Server{listener: l, http: &http.Server{
		Handler: handler(a, metrics), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog,
	}}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(netutil.LimitListener(s.listener, maxHealthConns)) }()
	select {
	case err := <-served:
		return fmt.Errorf("takeover: serve health on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(deadline); err != nil {
		_ = s.http.Close() // some reader is too slow; nothing is lost by cutting him off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("takeover: serve health on %s: %w", s.Addr(), err)
	}
	return nil
}

func handler(a *Agent, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Healthy(), "") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		// A bypassed datapath is told but not held against the agent: restarting it changes nothing.
		detail := ""
		if b := a.checker.datapath().Bypassed; b != "" {
			detail = "nftables is bypassed on this node, takeover has no effect here: " + b + "\n"
		}
		answer(w, a.Ready(), detail)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 2}))
	mux.HandleFunc("GET /takeovers", func(w http.ResponseWriter, _ *http.Request) {
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
