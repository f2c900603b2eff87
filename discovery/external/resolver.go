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
	loops    loops
	names    map[key]*name
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
		services: map[discovery.ServiceName]*service{}, loops: loops{}, names: map[key]*name{},
	}
	r.metrics = newMetrics(cfg.Registerer, r)
	return r
}

// SetLocal takes what a source has found, and hands it on with the endpoints that are known.
func (r *Resolver) SetLocal(l discovery.Local) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed, moved := false, !slices.Equal(r.local.ProxyAddresses, l.ProxyAddresses)
	for n := range hashtrie.Differing(r.local.Services, l.Services) {
		moved = r.loops.change(r.local.Services.Get(n), l.Services.Get(n)) || moved
		was := r.services[n]
		if s := l.Services.Get(n); s != nil && s.External != nil {
			r.services[n], changed = &service{spec: s}, true
		} else if was != nil {
			delete(r.services, n)
			changed = true
		}
	}
	if r.local = l; moved {
		for _, s := range r.services {
			s.resolved = nil
		}
	}
	if changed {
		r.want()
	}
	r.publish()
}

// want follows the names that services have, and no others. r.mu is held.
func (r *Resolver) want() {
	names := map[key]*name{}
	for _, s := range r.services {
		for i := range s.spec.External.Endpoints {
			host := s.spec.External.Endpoints[i].Host
			if _, err := netip.ParseAddr(host); err == nil {
				continue
			}
			for _, family := range families() {
				k := key{host, family}
				if names[k] = r.names[k]; names[k] == nil {
					names[k] = &name{}
				}
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
			s.resolve(r.names, r.refuse)
		}
		l.Services = l.Services.With(n, s.resolved)
	}
	r.sink.SetLocal(l)
}

// refuse is why no endpoint may have that address. r.mu is held.
func (r *Resolver) refuse(at netip.AddrPort) discovery.Refusal {
	if why := r.cfg.Guard.Check(at); why != "" {
		return why
	}
	_, proxy := slices.BinarySearchFunc(r.local.ProxyAddresses, at.Addr(), netip.Addr.Compare)
	if proxy || r.loops[at] > 0 {
		return discovery.RefusedLoop
	}
	return ""
}

// resolve makes the service with its endpoints.
func (s *service) resolve(names map[key]*name, refuse func(netip.AddrPort) discovery.Refusal) {
	out := *s.spec
	out.Endpoints = map[uint16][]discovery.Endpoint{}
	s.refused = nil
	for i := range out.External.Endpoints {
		e := &out.External.Endpoints[i]
		host, addresses := e.Host, known(names, e.Host)
		if a, err := netip.ParseAddr(host); err == nil {
			host, addresses = "", []netip.Addr{a.Unmap()}
		}
		for _, a := range addresses {
			for port, target := range e.Ports {
				s.add(&out, port, discovery.Endpoint{Address: netip.AddrPortFrom(a, target), Locality: e.Locality, Ready: true, Host: host}, refuse)
			}
		}
	}
	for _, all := range out.Endpoints {
		slices.SortFunc(all, func(a, b discovery.Endpoint) int { return a.Address.Compare(b.Address) })
	}
	slices.Sort(s.refused)
	s.resolved = &out
}

// known are the addresses of a name.
func known(names map[key]*name, host string) (addresses []netip.Addr) {
	for _, family := range families() {
		if n := names[key{host, family}]; n != nil {
			addresses = append(addresses, n.addresses...)
		}
	}
	return addresses
}

// add adds an endpoint that may be one, and that is not there yet: two names may have the same address, of which the first one counts.
func (s *service) add(out *discovery.Service, port uint16, e discovery.Endpoint, refuse func(netip.AddrPort) discovery.Refusal) {
	if slices.ContainsFunc(out.Endpoints[port], func(o discovery.Endpoint) bool { return o.Address == e.Address }) {
		return
	}
	why := refuse(e.Address)
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
		for _, k := range due {
			running.Go(func() { r.look(ctx, k) })
		}
		timer.Reset(next)
	}
}

// due are the names to be looked up now, which counts as begun, and when the next one is due.
func (r *Resolver) due(now time.Time) (due []key, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next = maxTTL
	for k, n := range r.names {
		switch {
		case n.looking:
		case !n.isDue(now):
			next = min(next, n.due.Sub(now))
		case r.looking < maxLookups: // the others wait for one that ends
			n.looking = true
			r.looking++
			due = append(due, k)
		}
	}
	return due, next
}

func (r *Resolver) look(ctx context.Context, k key) {
	looking, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	addresses, ttl, err := r.cfg.Lookup(looking, k.family, k.host)
	defer func() {
		select {
		case r.ended <- struct{}{}:
		default:
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking--
	n := r.names[k]
	if n == nil || ctx.Err() != nil {
		return // it is not wanted any more
	}
	was := n.err
	if err != nil {
		n.failed(time.Now(), reason(err), rand.Float64())
	} else if n.found(time.Now(), addresses, ttl, r.names[k.sibling()]) {
		r.changed(k.host)
	}
	r.report(k, n, was)
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
func (r *Resolver) report(k key, n *name, was string) {
	result := resultOK
	if n.err != "" {
		result = resultFailed
	}
	r.metrics.lookups.WithLabelValues(result).Inc()
	switch {
	case n.err != "" && was == "":
		r.cfg.Log.Warn("name of an external service was not found", zap.Stringer("name", k), zap.String("reason", n.err),
			zap.Int("addresses_kept", len(n.addresses)))
	case n.err == "" && was != "":
		r.cfg.Log.Info("name of an external service was found again", zap.Stringer("name", k), zap.Int("addresses", len(n.addresses)))
	}
}

// reason is the error of a lookup without what names it again.
func reason(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout {
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
	for k, n := range r.names {
		if n.err == "" {
			continue
		}
		then := "its endpoints are not known"
		if all := len(known(r.names, k.host)); all > 0 {
			then = fmt.Sprintf("addresses that were found before are used, %d", all)
		}
		out = append(out, fmt.Sprintf("name %s of an ExternalService: %s: %s; look at the name and at the name servers of this host",
			k, n.err, then))
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
