package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/tally"
)

// Agents is a listener for the node agents of the cluster, which get PathListeners and PathReadyz and prove themselves first.
type Agents struct {
	*httpserve.Server

	refusals *refusals
}

// ListenAgents binds the address. Its clients are those that accepts lets in, as certs.NodeServerConfig makes it; of cfg it uses
// Address, which may be any, Listeners, Checks, Logger and Registerer.
func ListenAgents(ctx context.Context, cfg Config, accepts *tls.Config) (*Agents, error) {
	cfg.HealthOnly = true
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	r, err := newRefusals(cfg.Logger, cfg.Registerer)
	if err != nil {
		return nil, err
	}
	h := &handler{cfg: cfg, log: cfg.Logger, listing: listing{source: cfg.Listeners}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathListeners, h.listeners)
	mux.HandleFunc("GET "+PathReadyz, h.readyz)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", httpserve.ListenError(cfg.Address, err))
	}
	s, err := httpserve.NewTLS(l, r.noting(accepts), mux, cfg.Logger, cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return &Agents{Server: s, refusals: r}, nil
}

// Problems are what has gone wrong lately, for the operator.
func (a *Agents) Problems() []string {
	return append(a.Server.Problems(), a.refusals.problems(time.Now())...)
}

// addListeners adds PathListeners to a listener where clients prove nothing.
func (h *handler) addListeners(mux *http.ServeMux) {
	switch {
	case h.cfg.Listeners == nil:
	case h.cfg.HealthOnly && !h.cfg.HealthListeners:
		mux.HandleFunc("GET "+PathListeners, h.listenersElsewhere)
	default:
		mux.HandleFunc("GET "+PathListeners, h.listeners)
	}
}

// listenersElsewhere answers where PathListeners is not for any client.
func (h *handler) listenersElsewhere(w http.ResponseWriter, _ *http.Request) {
	h.answer(w, http.StatusNotFound, problem{Error: "only node agents of this cluster get this, by their certificate, at the proxy's listener " +
		"--agents (port 15024 in the chart); for agents of the release before, --health-listeners answers here"})
}

// refusals counts the clients that are not let in.
type refusals struct {
	log    *zap.Logger
	book   tally.Book[string] // by reason
	metric *prometheus.CounterVec
}

// refusalReasons are those of certs that a client can be refused for.
func refusalReasons() []string {
	return []string{
		certs.ReasonNoCertificate, certs.ReasonExpired, certs.ReasonNotYetValid, certs.ReasonWrongTrustDomain, certs.ReasonWrongID,
		certs.ReasonUnknownAuthority, certs.ReasonUnconstrainedIntermediate, certs.ReasonBadCertificate, certs.ReasonALPN,
		certs.ReasonOwnCertificate, certs.ReasonOther,
	}
}

func newRefusals(log *zap.Logger, reg prometheus.Registerer) (*refusals, error) {
	r := &refusals{log: log, metric: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eastway_node_agents_refused_total",
		Help: "Connections to the listener for node agents that did not prove to be one of this cluster.",
	}, []string{"reason"})}
	for _, reason := range refusalReasons() {
		r.metric.WithLabelValues(reason)
	}
	if reg == nil {
		return r, nil
	}
	if err := reg.Register(r.metric); err != nil {
		return nil, fmt.Errorf("admin: register metrics: %w", err)
	}
	return r, nil
}

// noting is accepts with each refusal noted.
func (r *refusals) noting(accepts *tls.Config) *tls.Config {
	noted := accepts.Clone()
	noted.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		one := accepts.Clone()
		one.VerifyConnection = func(cs tls.ConnectionState) error {
			err := accepts.VerifyConnection(cs)
			if err != nil {
				r.note(hello.Conn.RemoteAddr(), err)
			}
			return err
		}
		return one, nil
	}
	return noted
}

// remedyRefused is what an operator can do about it.
const remedyRefused = "if it is a node agent, check its certificate (Secret RELEASE-node-svid) and that of this proxy; " +
	"else stop what connects there, or keep it away by a NetworkPolicy"

func (r *refusals) note(from net.Addr, err error) {
	reason := certs.Reason(err)
	r.metric.WithLabelValues(reason).Inc()
	if due := r.book.Note(time.Now(), reason, 1); due > 0 {
		r.log.Warn("a client that is no node agent of this cluster was refused", zap.String("reason", reason), zap.Stringer("remote", from),
			zap.Uint64("times", due), zap.Error(errors.Unwrap(err)), zap.String("remedy", remedyRefused))
	}
}

func (r *refusals) problems(now time.Time) []string {
	return r.book.Problems(now, func(reason string) (what, remedy string) {
		return "clients refused at the listener for node agents: " + reason, remedyRefused
	})
}
