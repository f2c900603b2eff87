package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/internal/httpserve"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/tally"
)

// Config of a Server; only Handler is needed.
type Config struct {
	// Listen is the IP:PORT of both sockets, or :PORT for all addresses.
	Listen  string
	Handler *Handler
	// Rate is how many responses over UDP the clients of one /24 or /56 get in a second; 0: without limit.
	Rate int
	// Log may be nil.
	Log *zap.Logger
	// Registerer of metrics may be nil.
	Registerer prometheus.Registerer
}

// Server serves on one address, over UDP and TCP.
type Server struct {
	cfg     Config
	log     *zap.Logger
	udp     *socket
	tcp     *net.TCPListener
	limiter *limiter
	conns   *table[net.Conn]
	metrics *metrics
	refused tally.Book[refusedKind]
}

// refusedKind is a kind of client that a limit refuses.
type refusedKind int

const (
	tooManyResponses refusedKind = iota
	tooManyConns
	ownError
)

func (k refusedKind) text() (what, remedy string) {
	switch k {
	case ownError:
		return "queries are answered with SERVFAIL for an error in this server", "the log has it: report it"
	case tooManyConns:
		return "a TCP connection lost its place to a newer one", fmt.Sprintf("at most %d, and %d of one client, may be open: "+
			"if these are your resolvers, run more servers", maxConns, maxConnsPerClient)
	}
	return "clients of one network had more responses in a second than --rate allows", "if these are your resolvers, raise it; " +
		"with spoofed queries it protects a victim"
}

// Listen opens both sockets; Run serves and closes them.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, limiter: newLimiter(cfg.Rate), conns: newTable[net.Conn](maxConns, maxConnsPerClient)}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("dns: %w", httpserve.ListenError(cfg.Listen, err))
	}
	s.tcp, _ = l.(*net.TCPListener)
	address := cfg.Listen
	if at := s.Addr(); at.Port() != 0 { // the port that a 0 became
		host, _, _ := net.SplitHostPort(cfg.Listen)
		address = net.JoinHostPort(host, fmt.Sprint(at.Port()))
	}
	if s.udp, err = listenUDP(ctx, address); err != nil {
		return nil, errors.Join(fmt.Errorf("dns: %w", httpserve.ListenError(address, err)), l.Close())
	}
	s.metrics = newMetrics(cfg.Registerer, s.conns.len)
	cfg.Handler.failed = s.failed
	return s, nil
}

// failed has the operator see an error of this server itself.
func (s *Server) failed(err error) {
	s.metrics.failures.Inc()
	if due := s.refused.Note(time.Now(), ownError, 1); due > 0 {
		what, remedy := ownError.text()
		s.log.Error(what, zap.String("remedy", remedy), zap.Uint64("count", due), zap.Error(err))
	}
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort {
	tcp, _ := s.tcp.Addr().(*net.TCPAddr)
	return tcp.AddrPort()
}

// Problems are which clients were refused lately, for the operator.
func (s *Server) Problems() []string { return s.refused.Problems(time.Now(), refusedKind.text) }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		_ = s.udp.conn.Close()
		_ = s.tcp.Close()
	})
	defer stop()
	for range min(runtime.GOMAXPROCS(0), 4) { // answers come from memory: more would only wait for each other
		g.Go(func() error { return s.serveUDP(ctx) })
	}
	g.Go(func() error { return s.serveTCP(ctx) })
	return g.Wait()
}

// serveUDP answers datagrams one after the other.
func (s *Server) serveUDP(ctx context.Context) error {
	buf, oob := make([]byte, querySize), make([]byte, controlSize)
	for {
		n, from, to, err := s.udp.read(buf, oob)
		if err != nil { // such as an ICMP error of a datagram sent before
			if end, err := ends(ctx, err); end {
				return err
			}
			pace.Sleep(ctx, acceptPause)
			continue
		}
		if from.Port() == 0 {
			continue
		}
		response, rcode := s.cfg.Handler.Answer(buf[:n], from.Addr(), true)
		if response == nil {
			continue
		}
		switch s.limiter.take(time.Now(), from.Addr()) {
		case send:
			s.metrics.responses.WithLabelValues("udp", dns.RcodeToString[rcode]).Inc()
		case truncate:
			response = truncated(buf[:n], response)
			s.metrics.limited.WithLabelValues(actionTruncated).Inc()
			s.note(tooManyResponses, from.Addr())
		case drop:
			response = nil
			s.metrics.limited.WithLabelValues(actionDropped).Inc()
			s.note(tooManyResponses, from.Addr())
		}
		if response != nil {
			s.udp.write(response, from, to) // a client that cannot be reached has no use for the error
		}
	}
}

// ends is true for an error of a socket after which nothing comes any more; that ctx has ended is no error.
func ends(ctx context.Context, err error) (end bool, cause error) {
	if ctx.Err() == nil {
		return errors.Is(err, net.ErrClosed), err
	}
	return true, nil
}

// note has the operator see that a client was refused.
func (s *Server) note(k refusedKind, client netip.Addr) {
	if due := s.refused.Note(time.Now(), k, 1); due > 0 {
		what, remedy := k.text()
		s.log.Warn("clients are refused", zap.String("reason", what), zap.String("remedy", remedy),
			zap.Stringer("last", client), zap.Uint64("count", due))
	}
}
