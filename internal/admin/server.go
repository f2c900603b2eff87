package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

const (
	// readTimeout bounds a whole request; none has a body that matters.
	readTimeout = 5 * time.Second
	// writeTimeout bounds an answer, scrapeTimeout and slow readers included; pprof extends it
	// by the seconds that were asked for.
	writeTimeout = 15 * time.Second
	// idleTimeout outlives the interval of usual scrapers (15 s, 60 s), so that they keep their connection.
	idleTimeout = 75 * time.Second
	// maxHeaderBytes is ample for a scraper's or browser's headers.
	maxHeaderBytes = 16 << 10
	// maxConns bounds what a client that opens connections and forgets them can take.
	maxConns = 64
	// shutdownTimeout lets answers under way finish.
	shutdownTimeout = time.Second
)

// Server is the admin listener.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *zap.Logger
}

// Listen binds the address, so that a busy port is known before anything else
// starts. Run serves and closes it.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, fmt.Errorf("admin: listen on %s: %w%s", cfg.address(), err, remedy(err))
	}
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return nil, fmt.Errorf("admin: log: %w", errors.Join(err, l.Close()))
	}
	return &Server{
		listener: l,
		log:      log,
		http: &http.Server{
			Handler:           newHandler(cfg, log),
			ReadTimeout:       readTimeout,
			ReadHeaderTimeout: readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          errorLog,
		},
	}, nil
}

// Addr is where the server listens; useful when the port was 0.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, and returns when the last connection is closed.
func (s *Server) Run(ctx context.Context) error {
	// A profile that somebody is taking ends with ctx.
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(netutil.LimitListener(s.listener, maxConns)) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin: serve on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(deadline); err != nil {
		// Some reader is too slow, or silent; nothing is lost by cutting him off.
		if err := s.http.Close(); err != nil {
			s.log.Warn("admin listener did not close cleanly", zap.Error(err))
		}
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: serve on %s: %w", s.Addr(), err)
	}
	return nil
}

func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another process has this port; end it or choose another (--admin)"
	case errors.Is(err, syscall.EACCES):
		return ": this user may not bind to that port; choose one above 1023 (--admin)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": this machine has no such address; choose another (--admin)"
	default:
		return ""
	}
}
