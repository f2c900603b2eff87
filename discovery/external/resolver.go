package external

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/notify"
)

const (
	// lookupTimeout bounds one lookup: net.Resolver waits for each name server 5 seconds, twice.
	lookupTimeout = 10 * time.Second
	// maxLookups is how many names are looked up at once.
	maxLookups = 32
)

// Sink takes the local state; discovery.Catalog is one.
type Sink interface {
	SetLocal(discovery.Local)
}

// Config of a Resolver. All of it is optional.
type Config struct {
	// Lookup finds addresses; nil: System.
	Lookup Lookup
	// Guard decides which addresses may be endpoints; nil: no loopback addresses.
	Guard *discovery.Guard
	// Log may be nil.
	Log *zap.Logger
	// Registerer of metrics may be nil.
	Registerer prometheus.Registerer
}

// Resolver is the Sink of a source. Its methods may be called from any goroutine.
type Resolver struct {
	cfg     Config
	sink    Sink
	metrics *metrics
	wake    notify.Signal
	ended   chan struct{} // a lookup

	mu       sync.Mutex
	local    discovery.Local
	services map[discovery.ServiceName]*service
	names    map[string]*name
	looking  int
}

// service is one that is outside.
type service struct {
	spec     *discovery.Service // as the source has it
	resolved *discovery.Service
	refused  []string
}

// New returns a Resolver that hands what it has found on to sink.
func New(cfg Config, sink Sink) *Resolver {
	if cfg.Lookup == nil {
		cfg.Lookup = System
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	r := &Resolver{
		cfg: cfg, sink: sink, wake: notify.NewSignal(), ended: make(chan struct{}, 1),
		services: map[discovery.ServiceName]*service{}, names: map[string]*name{},
	}
	r.metrics = newMetrics(cfg.Registerer, r)
	return r
}

// SetLocal takes what a source has found, and hands it on with the endpoints that are known.
func (r *Resolver) SetLocal(l discovery.Local) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := false
	for n := range hashtrie.Differing(r.local.Services, l.Services) {
		was := r.services[n]
		if s := l.Services.Get(n); s != nil && s.External != nil {
			r.services[n], changed = &service{spec: s}, true
		} else if was != nil {
			delete(r.services, n)
			changed = true
		}
	}
	r.local = l
	if changed {
		r.want()
	}
	r.publish()
}

// want follows the names that services have, and no others. r.mu is held.
func (r *Resolver) want() {
	names := map[string]*name{}
	for _, s := range r.services {
		for i := range s.spec.External.Endpoints {
			host := s.spec.External.Endpoints[i].Host
			if _, err := netip.ParseAddr(host); err == nil {
				continue
			}
			if names[host] = r.names[host]; names[host] == nil {
				names[host] = &name{}
			}
		}
	}
	r.names = names
	r.wake.Notify()
}

// publish hands the state on. r.mu is held, so that the newest one is the last.
func (r *Resolver) publish() {
	l := r.local
	for n, s := range r.services {
		if s.resolved == nil {
			s.resolve(r.names, r.cfg.Guard)
		}
		l.Services = l.Services.With(n, s.resolved)
	}
	r.sink.SetLocal(l)
}

// resolve makes the service with its endpoints.
func (s *service) resolve(names map[string]*name, guard *discovery.Guard) {
	out := *s.spec
	out.Endpoints = map[uint16][]discovery.Endpoint{}
	s.refused = nil
	for i := range out.External.Endpoints {
		e := &out.External.Endpoints[i]
		addresses, host := []netip.Addr(nil), e.Host
		if a, err := netip.ParseAddr(host); err == nil {
			addresses, host = []netip.Addr{a}, ""
		} else if n := names[host]; n != nil {
			addresses = n.addresses
		}
		for _, a := range addresses {
			for port, target := range e.Ports {
				s.add(&out, port, discovery.Endpoint{Address: netip.AddrPortFrom(a, target), Locality: e.Locality, Ready: true, Host: host}, guard)
			}
		}
	}
	for _, all := range out.Endpoints {
		slices.SortFunc(all, func(a, b discovery.Endpoint) int { return a.Address.Compare(b.Address) })
	}
	slices.Sort(s.refused)
	s.resolved = &out
}

// add adds an endpoint that may be one, and that is not there yet: two names may have the same address, of which the first one counts.
func (s *service) add(out *discovery.Service, port uint16, e discovery.Endpoint, guard *discovery.Guard) {
	if slices.ContainsFunc(out.Endpoints[port], func(o discovery.Endpoint) bool { return o.Address == e.Address }) {
		return
	}
	why := guard.Check(e.Address)
	if why == "" && s.spec.IsOwnListener(e.Address) {
		why = discovery.RefusedLoop
	}
	if why != "" {
		of := ""
		if e.Host != "" {
			of = " of " + e.Host
		}
		s.refused = append(s.refused, fmt.Sprintf("ExternalService %s: the address %s%s is not used: it %s", out.Name, e.Address, of, why.Text()))
		return
	}
	out.Endpoints[port] = append(out.Endpoints[port], e)
}

// Run looks names up until ctx ends.
func (r *Resolver) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.wake:
		case <-r.ended:
		}
		due, next := r.due(time.Now())
		for _, host := range due {
			running.Go(func() { r.look(ctx, host) })
		}
		timer.Reset(next)
	}
}

// due are the names to be looked up now, which counts as begun, and when the next one is due.
func (r *Resolver) due(now time.Time) (due []string, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = maxTTL
	for host, n := range r.names {
		switch {
		case n.looking:
		case !n.isDue(now):
			next = min(next, n.due.Sub(now))
		case r.looking < maxLookups: // the others wait for one that ends
			n.looking = true
			r.looking++
			due = append(due, host)
		}
	}
	return due, next
}

func (r *Resolver) look(ctx context.Context, host string) {
	looking, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, ttl, err := r.cfg.Lookup(looking, host)
	defer func() {
		select {
		case r.ended <- struct{}{}:
		default:
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking--
	n := r.names[host]
	if n == nil || ctx.Err() != nil {
		return // it is not wanted any more
	}
	was := n.err
	if err != nil {
		n.failed(time.Now(), reason(err), rand.Float64())
	} else if n.found(time.Now(), addresses, ttl) {
		r.changed(host)
	}
	r.report(host, n, was)
}

// changed hands on what has other addresses. r.mu is held.
func (r *Resolver) changed(host string) {
	for _, s := range r.services {
		if slices.ContainsFunc(s.spec.External.Endpoints, func(e discovery.ExternalEndpoint) bool { return e.Host == host }) {
			s.resolved = nil
		}
	}
	r.publish()
}

// report logs and counts a lookup; was is the error of the one before. r.mu is held.
func (r *Resolver) report(host string, n *name, was string) {
	result := resultOK
	if n.err != "" {
		result = resultFailed
	}
	r.metrics.lookups.WithLabelValues(result).Inc()
	switch {
	case n.err != "" && was == "":
		r.cfg.Log.Warn("name of an external service was not found", zap.String("name", host), zap.String("reason", n.err),
			zap.Int("addresses_kept", len(n.addresses)))
	case n.err == "" && was != "":
		r.cfg.Log.Info("name of an external service was found again", zap.String("name", host), zap.Int("addresses", len(n.addresses)))
	}
}

// reason is the error of a lookup without what names it again.
func reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case dns.IsNotFound:
			return "there is no such name"
		case dns.IsTimeout:
			return "no name server answers in time"
		}
		return clip.Text(dns.Err, clip.Short)
	}
	return clip.Text(err.Error(), clip.Short)
}

// Problems are what an operator has to know, sorted.
func (r *Resolver) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for host, n := range r.names {
		if n.err == "" {
			continue
		}
		then := "its endpoints are not known"
		if k := len(n.addresses); k > 0 {
			then = fmt.Sprintf("the %d addresses that were found last are used", k)
		}
		out = append(out, fmt.Sprintf("name %s of an ExternalService: %s: %s; look at the name and at the name servers of this host",
			host, n.err, then))
	}
	for _, s := range r.services {
		out = append(out, s.refused...)
	}
	slices.Sort(out)
	return out
}

// failing is how many names the last lookup did not find.
func (r *Resolver) failing() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, is := range r.names {
		if is.err != "" {
			n++
		}
	}
	return n
}
