package serve

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/tally"
)

// Config is what a Server needs. The zero value serves on all addresses, without logs and metrics.
type Config struct {
	// Host is the address to listen on; empty: all.
	Host string
	// Trusted are proxies and load balancers in front: what they say of a client in X-Forwarded-For, -Proto and -Host is passed on, and they
	// may hold all connections.
	Trusted []netip.Prefix
	// MaxConns is how many connections of clients there are at a time; 0: DefaultMaxConns.
	MaxConns int
	// Replicas is how many processes share each rate limit; nil: this one is alone.
	Replicas func() int
	// SystemRoots are those of backends whose BackendTLSPolicy names no certificates; nil: those that Go finds.
	SystemRoots func() *x509.CertPool
	// DrainDelay is how long new connections are served after Drain was called, and DrainTimeout how long requests may go on after that.
	DrainDelay, DrainTimeout time.Duration
	Log                      *zap.Logger
	Access                   *zap.Logger
	Registerer               prometheus.Registerer
}

// Validate names the field that is wrong.
func (c *Config) Validate() error {
	switch {
	case c.MaxConns < 0:
		return fmt.Errorf("entry: MaxConns %d must not be negative", c.MaxConns)
	case c.DrainDelay < 0 || c.DrainTimeout < 0:
		return errors.New("entry: DrainDelay and DrainTimeout must not be negative")
	}
	if _, err := netip.ParseAddr(c.Host); c.Host != "" && err != nil {
		return fmt.Errorf("entry: Host: %w: write an IP address", err)
	}
	return nil
}

// Table is what to serve; a *route.Table is one.
type Table interface {
	Ports() []*route.Port
	Listener(port uint16, host string) *route.Listener
	Match(port uint16, r *http.Request, random uint64) route.Decision
	// Limits are all that a Decision may have.
	Limits() []*route.Limit
	// BackendTLS are all that the backends of a Decision may have.
	BackendTLS() []*route.BackendTLS
}

// Server serves the listeners of a Table.
type Server struct {
	cfg        Config
	log        *zap.Logger
	access     *zap.Logger
	metrics    *metrics
	gate       descriptors.Gate
	refusals   tally.Book[refused]
	limits     limits
	mirrors    chan struct{} // a place for each copy that is under way
	buffers    buffers
	proxy      httputil.ReverseProxy // of which each request has a copy
	transports *transports

	table    atomic.Pointer[Table]
	draining atomic.Bool
	running  sync.WaitGroup // what is no connection or request

	mu      sync.Mutex
	ports   map[uint16]*port
	failed  map[uint16]error // ports that are not open
	stopped bool

	slotsMu sync.Mutex
	slots   *slots
}

// New makes a Server that has no listener yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cmp.Or(cfg.Log, zap.NewNop()), access: cmp.Or(cfg.Access, zap.NewNop()),
		gate: descriptors.NewGate(descriptors.Limit()), mirrors: make(chan struct{}, maxMirrors), buffers: newBuffers(),
		ports: make(map[uint16]*port), slots: newSlots(affordable(cmp.Or(cfg.MaxConns, DefaultMaxConns), descriptors.Limit())),
	}
	s.limits.replicas = cfg.Replicas
	s.proxy = newProxy(s.log, s.buffers)
	s.metrics = newMetrics(cfg.Registerer, s.held)
	s.transports = newTransports(s.gate)
	s.transports.secured.system = cfg.SystemRoots
	s.follow(&route.Table{})
	return s, nil
}

// affordable is how many of most connections, and of as many requests, a process can have that may open so many descriptors; 0: any number.
// Each of them needs one, and neither leaves none for the other.
func affordable(most int, limit uint64) int {
	if limit == 0 {
		return most
	}
	return max(1, int(min(uint64(most), (limit-descriptors.Reserve(limit))/2)))
}

// Apply has the server follow a table: ports open and close, requests under way go on as they began. The error names the ports that could
// not be opened; the next Apply tries again. The context is that of the opening alone.
func (s *Server) Apply(ctx context.Context, t Table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.follow(t)
	s.limits.prune(t.Limits())
	s.transports.secured.prune(t.BackendTLS(), t.Ports())
	s.metrics.certificates(t)
	wanted := make(map[uint16]*route.Port)
	for _, p := range t.Ports() {
		wanted[p.Number] = p
	}
	for number, p := range s.ports {
		if want := wanted[number]; want == nil || want.Owner != p.owner { // connections to one Gateway must not go on at another
			delete(s.ports, number)
			_ = p.listener.Close()
			s.running.Go(func() { p.shut(context.WithoutCancel(ctx), s.cfg.DrainTimeout) })
			s.log.Info("port closed", zap.Uint16("port", number))
		}
	}
	s.failed = make(map[uint16]error)
	for number, want := range wanted {
		if p := s.ports[number]; p != nil {
			p.tls.Store(want.TLS)
			continue
		}
		p, err := s.open(ctx, want)
		if err != nil {
			s.failed[number] = err
			continue
		}
		s.ports[number] = p
		s.log.Info("port open", zap.Stringer("address", p.listener.Addr()), zap.Bool("tls", want.TLS))
	}
	return s.failureLocked()
}

func (s *Server) follow(t Table) { s.table.Store(&t) }

// current is the table that counts now.
func (s *Server) current() Table { return *s.table.Load() }

func (s *Server) failureLocked() error {
	var errs []error
	for _, err := range s.failed {
		errs = append(errs, err)
	}
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Failed are the ports of the table that could not be opened, and why.
func (s *Server) Failed() map[uint16]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.failed)
}

// ErrNoListener is that of Ready when a table has no port.
var ErrNoListener = errors.New("no listener of a Gateway is programmed")

// Ready is nil when the server serves all ports of a table, and that has one.
func (s *Server) Ready() error {
	if s.draining.Load() {
		return errors.New("draining")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failureLocked(); err != nil {
		return err
	}
	if len(s.ports) == 0 {
		return ErrNoListener
	}
	return nil
}

// Drain serves new connections for DrainDelay, while each answer asks its client to leave; then it closes the listeners, lets requests
// finish for DrainTimeout, and closes what is left. The server is not used after that.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	pace.Sleep(ctx, s.cfg.DrainDelay)
	s.mu.Lock()
	s.stopped = true
	ports := s.ports
	s.ports = nil
	s.mu.Unlock()
	var shutting sync.WaitGroup
	for _, p := range ports {
		shutting.Go(func() { p.shut(ctx, s.cfg.DrainTimeout) })
	}
	shutting.Wait()
	s.running.Wait()
	s.transports.closeIdle()
}

// address is that of a port.
func (s *Server) address(number uint16) string {
	return net.JoinHostPort(s.cfg.Host, strconv.Itoa(int(number)))
}

// trusts is true for the address of a proxy in front.
func (s *Server) trusts(at net.Addr) bool {
	tcp, ok := at.(*net.TCPAddr)
	return ok && slices.ContainsFunc(s.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(tcp.AddrPort().Addr().Unmap()) })
}

// held is how many connections there are.
func (s *Server) held() int {
	s.slotsMu.Lock()
	defer s.slotsMu.Unlock()
	return s.slots.held
}

// begin marks a connection busy with one more request, which is not to be served if there is a reason why. Not ok: the connection has lost
// its place.
func (s *Server) begin(of *slot) (why refusal, ok bool) {
	s.slotsMu.Lock()
	defer s.slotsMu.Unlock()
	return s.slots.begin(of)
}

func (s *Server) ended(of *slot, why refusal) {
	s.slotsMu.Lock()
	defer s.slotsMu.Unlock()
	s.slots.ended(of, why)
}
