package httpserve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/descriptors"
)

// MaxHeaderBytes of a request: ample for a scraper's or browser's.
const MaxHeaderBytes = 16 << 10

const (
	// readTimeout bounds a whole request; none has a body that matters.
	readTimeout = 5 * time.Second
	// writeTimeout bounds an answer, scrapeTimeout and slow readers included; pprof extends it
	// by the requested duration.
	writeTimeout = 15 * time.Second
	// idleTimeout outlives the interval of usual scrapers (15 s, 60 s), so that they keep their connection.
	idleTimeout = 75 * time.Second
	// maxConns bounds memory: a connection costs two buffers of 4 KiB, its goroutines and at most MaxHeaderBytes, so all of them
	// cost less than 10 MiB. Node agents and scrapers of a cluster keep one connection each.
	maxConns = 256
	// maxTLSConns is for node agents, each of which keeps one connection to each proxy: an idle one costs
	// less than 34 KB (BenchmarkIdleTLS, both ends). With
	// more nodes than this they connect more often than they need to.
	maxTLSConns = 2048
	// connsPart and tlsConnsPart of the descriptors that the process keeps in reserve are for one listener at most, as a divisor.
	connsPart    = 8
	tlsConnsPart = 4
	// acceptBackoffMin and acceptBackoffMax: pauses after a failed accept (out of descriptors), doubled each time.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second
	// tlsConnLife is the time after which a client has to prove itself anew, with the certificate that it has by then.
	tlsConnLife = 5 * time.Minute
	// shutdownTimeout lets answers under way finish.
	shutdownTimeout = time.Second
)

// Server serves one handler on one listener.
type Server struct {
	listener *listener
	accepts  net.Listener // listener, or TLS on it
	http     *http.Server
	log      *zap.Logger
}

// New takes over the listener: it is closed when New fails, and by Run. log gets the errors of connections. The metric of all
// servers of a process is one; a nil reg has none.
func New(l net.Listener, h http.Handler, log *zap.Logger, reg prometheus.Registerer) (*Server, error) {
	return newServer(l, descriptors.Share(maxConns, connsPart), h, log, reg)
}

// NewTLS does the same for clients that config accepts. Who makes config notes those that it refuses: here they leave a line of the
// level debug.
func NewTLS(l net.Listener, config *tls.Config, h http.Handler, log *zap.Logger, reg prometheus.Registerer) (*Server, error) {
	s, err := newServer(l, descriptors.Share(maxTLSConns, tlsConnsPart), renewed(h), log, reg)
	if err != nil {
		return nil, err
	}
	s.accepts = tls.NewListener(s.listener, config)
	s.http.ErrorLog.SetOutput(&connErrors{log: log, other: s.http.ErrorLog.Writer()})
	return s, nil
}

func newServer(l net.Listener, conns int, h http.Handler, log *zap.Logger, reg prometheus.Registerer) (*Server, error) {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", l.Addr(), errors.Join(err, l.Close()))
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	bounded := newListener(l, conns, log, reg)
	return &Server{listener: bounded, accepts: bounded, log: log, http: &http.Server{
		Handler:           serving(h),
		Protocols:         protocols,
		ConnContext:       withConn,
		ConnState:         idle,
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          errorLog,
	}}, nil
}

// Addr is where the server listens; useful when the port was 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Problems are what has gone wrong lately, for the operator.
func (s *Server) Problems() []string {
	out := s.listener.short.Problems(time.Now())
	if p := s.listener.problem(time.Now()); p != "" {
		out = append(out, p)
	}
	return out
}

// Run serves until ctx ends, as the contexts of all requests then do, and returns when the last connection is closed.
func (s *Server) Run(ctx context.Context) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.accepts) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(deadline); err != nil {
		// A slow or silent client: nothing is lost by closing its connection.
		if err := s.http.Close(); err != nil {
			s.log.Warn("HTTP listener did not close cleanly", zap.Error(err))
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	}
	return nil
}

// ListenError adds what to do about an address that cannot be listened on.
func ListenError(address string, err error) error {
	remedy := "choose another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another process has this port; end it or choose another"
	case errors.Is(err, syscall.EACCES):
		remedy = "this user may not bind to that port; choose one above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine has no such address; choose another"
	}
	return fmt.Errorf("listen on %s: %w: %s", address, err, remedy)
}
