package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/status"
)

// maxProfile is the longest profile or trace; longer ones are usually a typo.
const maxProfile = 5 * time.Minute

func newHandler(cfg Config, log *zap.Logger) http.Handler {
	h := &handler{cfg: cfg, log: log, listing: listing{source: cfg.Listeners}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathHealthz, h.healthz)
	mux.HandleFunc("GET "+PathReadyz, h.readyz)
	mux.HandleFunc("GET "+PathServingz, h.servingz)
	h.addListeners(mux)
	if cfg.Status != nil && !cfg.HealthOnly {
		mux.HandleFunc("GET "+PathStatus, h.status)
	}
	if cfg.Endpoints != nil && !cfg.HealthOnly {
		mux.HandleFunc("GET "+PathEndpoints, h.endpoints)
	}
	if cfg.Explain != nil && !cfg.HealthOnly {
		mux.HandleFunc("GET "+PathExplain, h.explain)
		mux.HandleFunc("POST "+PathExplain, h.explain)
	}
	if cfg.Probe != nil && !cfg.HealthOnly {
		mux.HandleFunc("POST "+PathProbe, h.probe)
	}
	if cfg.Authz != nil && !cfg.HealthOnly {
		mux.HandleFunc("GET "+PathAuthz, h.authz)
	}
	if cfg.Gatherer != nil {
		mux.Handle("GET "+PathMetrics, httpserve.Metrics(cfg.Gatherer, log))
	}
	if cfg.HealthOnly {
		return mux
	}
	for pattern, more := range cfg.More {
		mux.HandleFunc(pattern, more)
	}
	mux.HandleFunc("GET /debug/pprof/", h.bounded(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", h.bounded(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", h.bounded(pprof.Trace))
	if cfg.AllowRemote {
		return mux
	}
	return h.localHostOnly(mux)
}

type handler struct {
	cfg     Config
	log     *zap.Logger
	listing listing
}

// localHostOnly answers requests for loopback names and addresses only. A web
// page can make its own name resolve to 127.0.0.1 and read the responses; the
// Host header then still has that name.
func (h *handler) localHostOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(hostname(r.Host)) {
			h.log.Warn("admin request refused: not for a loopback host",
				zap.String("host", r.Host), zap.String("remote", r.RemoteAddr))
			h.answer(w, http.StatusForbidden, problem{
				Error: fmt.Sprintf("host %q is not a loopback address; use 127.0.0.1 or localhost", r.Host),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bounded refuses profiles longer than maxProfile; for a value that is not a
// number pprof uses its default, 30 s.
func (h *handler) bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64); err == nil && !(seconds <= maxProfile.Seconds()) {
			h.answer(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("seconds must be at most %v", maxProfile.Seconds())})
			return
		}
		next(w, r)
	}
}

// hostname is a Host header without its port; "" when it is anything but a host.
func hostname(host string) string {
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host {
		return ""
	}
	return u.Hostname()
}

// healthz answers as long as the process runs.
func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, err := w.Write([]byte("ok\n")); err != nil {
		h.log.Debug("admin answer not delivered", zap.Error(err))
	}
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) { h.verdict(w, h.readiness()) }

// servingz is for Kubernetes: it removes a pod that is being deleted from Services by itself, but its nodes drop the pod's UDP
// flows as soon as the pod is not serving.
func (h *handler) servingz(w http.ResponseWriter, _ *http.Request) {
	h.verdict(w, h.passes(func(c *Check) func() error {
		if c.Serving != nil {
			return c.Serving
		}
		return c.Ready
	}))
}

func (h *handler) verdict(w http.ResponseWriter, readiness Readiness) {
	code := http.StatusOK
	if !readiness.Ready {
		code = http.StatusServiceUnavailable
	}
	h.answer(w, code, readiness)
}

func (h *handler) readiness() Readiness {
	return h.passes(func(c *Check) func() error { return c.Ready })
}

// passes runs the chosen function of all checks.
func (h *handler) passes(question func(*Check) func() error) Readiness {
	readiness := Readiness{Ready: true}
	for i := range h.cfg.Checks {
		check := &h.cfg.Checks[i]
		if err := question(check)(); err != nil {
			readiness.Ready = false
			readiness.Failing = append(readiness.Failing, FailingCheck{Name: check.Name, Error: err.Error()})
		}
	}
	return readiness
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) {
	now := h.cfg.Status()
	// An empty list is [] for scripts, never null.
	now.Peers = append([]status.Peer{}, now.Peers...)
	now.Services = append([]ServiceStatus{}, now.Services...)
	h.answer(w, http.StatusOK, now)
}

func (h *handler) endpoints(w http.ResponseWriter, r *http.Request) {
	namespace, name, ok := h.service(w, r)
	if !ok {
		return
	}
	endpoints, ok := h.cfg.Endpoints(namespace, name)
	if !ok {
		h.noService(w, namespace, name)
		return
	}
	endpoints = append([]status.Endpoint{}, endpoints...)
	h.answer(w, http.StatusOK, ServiceEndpoints{Namespace: namespace, Name: name, Endpoints: endpoints})
}

// service is the one that a request names; false: it was answered.
func (h *handler) service(w http.ResponseWriter, r *http.Request) (namespace, name string, ok bool) {
	service := r.URL.Query().Get("service")
	namespace, name, ok = strings.Cut(service, "/")
	if ok = ok && namespace != "" && name != "" && !strings.Contains(name, "/"); !ok {
		h.answer(w, http.StatusBadRequest, problem{
			Error: fmt.Sprintf("service=%q is not NAMESPACE/NAME", service),
		})
	}
	return namespace, name, ok
}

func (h *handler) noService(w http.ResponseWriter, namespace, name string) {
	h.answer(w, http.StatusNotFound, problem{
		Error: fmt.Sprintf("no such service: %s/%s", namespace, name), Reason: reasonNoService,
	})
}

// refuse answers why a query about a service cannot be answered.
func (h *handler) refuse(w http.ResponseWriter, err error) {
	code, reason := http.StatusBadRequest, reasonBadQuery
	if _, ok := errors.AsType[*status.NoPortError](err); ok {
		code, reason = http.StatusNotFound, reasonNoPort
	}
	h.answer(w, code, problem{Error: err.Error(), Reason: reason})
}

func (h *handler) answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		h.log.Debug("admin answer not delivered", zap.Error(err))
	}
}
