package watch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/dns/config"
	"github.com/eastway/eastway/internal/dns/judge"
	"github.com/eastway/eastway/internal/dns/server"
	"github.com/eastway/eastway/internal/dns/steer"
)

// Board has the state of all names: what is known goes in, what is answered comes out. It may be used by any number of goroutines.
type Board struct {
	log     *zap.Logger
	metrics *metrics

	mu       sync.Mutex
	zones    []server.Zone
	names    []*nameState
	truth    *truth
	lookups  map[string]lookedUp // by host name
	problems []string            // of manifests
}

// lookedUp is what is known of a host name.
type lookedUp struct {
	addresses []netip.Addr
	err       string // of the last lookup; empty: it was answered
}

type nameState struct {
	spec    *config.GlobalName
	served  *server.Name
	chooser *atomic.Pointer[steer.Chooser]
	entries []*entryState
	shown   map[shownKey]bool // whether each address was in, as was logged last
	panic   bool
}

type shownKey struct {
	cluster string
	addr    netip.Addr
}

type entryState struct {
	spec     config.Entry
	services []string
	judge    *judge.Entry
	addrs    []netip.Addr
}

// NewBoard has no names yet. The logger and the registerer may be nil.
func NewBoard(log *zap.Logger, reg prometheus.Registerer) *Board {
	if log == nil {
		log = zap.NewNop()
	}
	return &Board{log: log, metrics: newMetrics(reg), truth: newTruth(), lookups: make(map[string]lookedUp)}
}

// SetConfig replaces what is served, and returns the zones for a server. What stays keeps its state.
func (b *Board) SetConfig(now time.Time, c *config.Config, problems []string) *server.Zones {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := make(map[string]*nameState)
	for _, n := range b.names {
		old[n.spec.Name] = n
	}
	b.names, b.problems = nil, problems
	for _, spec := range c.Names {
		b.names = append(b.names, b.nameLocked(now, spec, old[spec.Name]))
		delete(old, spec.Name)
	}
	for _, n := range old {
		b.metrics.forget(n)
	}
	b.zones = b.zonesLocked(now, c)
	b.metrics.manifestErrors.Set(float64(len(problems)))
	return server.NewZones(b.zones)
}

func (b *Board) nameLocked(now time.Time, spec *config.GlobalName, old *nameState) *nameState {
	n := &nameState{spec: spec, chooser: new(atomic.Pointer[steer.Chooser]), shown: make(map[shownKey]bool)}
	entries := make(map[string]*entryState)
	if old != nil {
		n.shown, n.panic = old.shown, old.panic
		for _, e := range old.entries {
			entries[e.spec.Cluster] = e
		}
	}
	limits := judge.Thresholds{Unhealthy: spec.Spec.Probe.UnhealthyThreshold, Healthy: spec.Spec.Probe.HealthyThreshold}
	for i := range spec.Spec.Entries {
		e := &entryState{spec: spec.Spec.Entries[i], judge: judge.NewEntry(limits)}
		if was := entries[e.spec.Cluster]; was != nil {
			e.judge = was.judge
			e.judge.SetThresholds(limits)
		}
		if e.spec.Service != "" {
			e.services = append(e.services, e.spec.Service)
		}
		e.services = append(e.services, spec.Spec.Services...)
		b.addressLocked(now, e)
		e.judge.DataPlane(now, b.truth.of(e.spec.Cluster, e.services))
		n.entries = append(n.entries, e)
	}
	n.served = &server.Name{TTL: seconds(spec.Spec.TTL.Duration), Chooser: n.chooser}
	if spec.Spec.Strategy == string(steer.Geo) {
		var places []steer.Place
		for _, g := range spec.Spec.Geo {
			p, _ := netip.ParsePrefix(g.CIDR) // config has checked it
			places = append(places, steer.Place{Prefix: p, Region: g.Region})
		}
		table := steer.NewTable(places)
		n.served.Geo = &table
	}
	b.refreshLocked(now, n)
	return n
}

// addressLocked gives an entry its addresses, from the manifest or from the last answer for its host name.
func (b *Board) addressLocked(now time.Time, e *entryState) {
	e.addrs = nil
	for _, text := range e.spec.Addresses {
		a, _ := netip.ParseAddr(text) // config has checked it
		e.addrs = append(e.addrs, a)
	}
	if e.spec.Hostname != "" {
		e.addrs = b.lookups[e.spec.Hostname].addresses
	}
	e.judge.SetAddresses(now, e.addrs)
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// zonesLocked makes the zones; one that has changed has a new serial number.
func (b *Board) zonesLocked(now time.Time, c *config.Config) (zones []server.Zone) {
	for _, z := range c.Zones {
		user, host, _ := strings.Cut(z.Spec.Hostmaster, "@")
		out := server.Zone{
			Apex: dns.Fqdn(z.Name), Hostmaster: strings.ReplaceAll(user, ".", `\.`) + "." + dns.Fqdn(host),
			NegativeTTL: seconds(z.Spec.NegativeTTL.Duration), Serial: uint32(now.Unix()), Names: make(map[string]*server.Name),
		}
		for _, ns := range z.Spec.NameServers {
			s := server.NameServer{Name: dns.Fqdn(ns.Name)}
			for _, text := range ns.Addresses {
				a, _ := netip.ParseAddr(text)
				s.Addresses = append(s.Addresses, a)
			}
			out.NameServers = append(out.NameServers, s)
		}
		for _, n := range b.names {
			if c.Zone(n.spec.Name) == z {
				out.Names[dns.Fqdn(n.spec.Name)] = n.served
			}
		}
		zones = append(zones, out)
	}
	return zones
}

// targets are what has to be probed.
func (b *Board) targets() map[target]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[target]bool)
	for _, n := range b.names {
		for _, e := range n.entries {
			for _, a := range e.addrs {
				out[target{a, n.spec.Spec.Probe}] = true
			}
		}
	}
	return out
}

// hosts are the names that have to be looked up.
func (b *Board) hosts() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]bool)
	for _, n := range b.names {
		for _, e := range n.entries {
			if e.spec.Hostname != "" {
				out[e.spec.Hostname] = true
			}
		}
	}
	for host := range b.lookups {
		if !out[host] {
			delete(b.lookups, host)
		}
	}
	return out
}

// probed takes the result of a probe.
func (b *Board) probed(now time.Time, t target, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	result := "passed"
	if err != nil {
		result = "failed"
	}
	b.metrics.probes.WithLabelValues(result).Inc()
	for _, n := range b.names {
		if n.spec.Spec.Probe != t.probe {
			continue
		}
		for _, e := range n.entries {
			e.judge.Probe(now, t.addr, err == nil, reason(err))
		}
		b.refreshLocked(now, n)
	}
}

// found takes the result of a lookup. What was found last stays in use when it fails.
func (b *Board) found(now time.Time, host string, addrs []netip.Addr, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.lookups[host]
	if err != nil {
		if was.err == "" {
			b.log.Warn("the name of an entry is not found; its last addresses stay in use", zap.String("host", host), zap.Error(err))
		}
		b.lookups[host] = lookedUp{addresses: was.addresses, err: reason(err)}
		return
	}
	b.lookups[host] = lookedUp{addresses: addrs}
	if slices.Equal(was.addresses, addrs) {
		return
	}
	for _, n := range b.names {
		for _, e := range n.entries {
			if e.spec.Hostname == host {
				b.addressLocked(now, e)
			}
		}
		b.refreshLocked(now, n)
	}
}

// settled is true once each target has had a result, and each host name an answer or an error.
func (b *Board) settled() bool {
	hosts := b.hosts()
	b.mu.Lock()
	defer b.mu.Unlock()
	for host := range hosts {
		if l := b.lookups[host]; l.err == "" && l.addresses == nil {
			return false
		}
	}
	for _, n := range b.names {
		for _, e := range n.entries {
			for _, a := range e.judge.Addresses(time.Time{}) {
				if !a.Judged {
					return false
				}
			}
		}
	}
	return true
}

// refreshLocked has answers follow what is judged, and logs each change.
func (b *Board) refreshLocked(now time.Time, n *nameState) {
	var entries []steer.Entry
	shown := make(map[shownKey]bool)
	for _, e := range n.entries {
		addrs := e.judge.Addresses(now)
		entries = append(entries, steer.Entry{Region: e.spec.Region, Weight: *e.spec.Weight, Addresses: addrs})
		for i := range addrs {
			a := &addrs[i]
			k := shownKey{e.spec.Cluster, a.Addr}
			was, known := n.shown[k]
			if shown[k] = a.In; a.Judged && (a.In != was || !known) {
				b.log.Info(map[bool]string{true: "address is in", false: "address is out"}[a.In], zap.String("name", n.spec.Name),
					zap.String("cluster", e.spec.Cluster), zap.Stringer("address", a.Addr), zap.String("reason", a.Reason))
				if known {
					b.metrics.changes.WithLabelValues(n.spec.Name).Inc()
				}
			} else if !a.Judged && !known {
				delete(shown, k) // to be logged when it is
			}
		}
	}
	chooser := steer.New(steer.Strategy(n.spec.Spec.Strategy), entries)
	n.chooser.Store(chooser)
	if n.panic != chooser.Panic() && len(shown) > 0 {
		n.panic = chooser.Panic()
		if n.panic {
			b.log.Error("no address of a name is in: all that may live are answered; 'eastway dns explain' says why", zap.String("name", n.spec.Name))
		} else {
			b.log.Info("addresses of a name are in again", zap.String("name", n.spec.Name))
		}
	}
	b.metrics.show(n, shown)
	n.shown = shown
}

// proxyAnswered takes what the proxy says of the data plane, or why it says nothing.
func (b *Board) proxyAnswered(now time.Time, update func(t *truth)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.truth.err
	update(b.truth)
	switch err := b.truth.err; {
	case err != nil && (was == nil || errors.Is(was, errNoQuery)):
		b.log.Warn("the proxy does not say what the data plane knows: probes alone decide", zap.Error(err))
	case err == nil && was != nil:
		b.log.Info("the proxy says what the data plane knows")
	}
	b.metrics.proxyUp.WithLabelValues().Set(number(b.truth.err == nil))
	b.judgeTruthLocked(now)
}

// noProxy says that none will be queried.
func (b *Board) noProxy(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.truth.update(now, nil, errNoProxy)
	b.judgeTruthLocked(now)
}

func (b *Board) judgeTruthLocked(now time.Time) {
	for _, n := range b.names {
		for _, e := range n.entries {
			e.judge.DataPlane(now, b.truth.of(e.spec.Cluster, e.services))
		}
		b.refreshLocked(now, n)
	}
}

func (b *Board) problemsLocked() (out []string) {
	out = slices.Clone(b.problems)
	for host, l := range b.lookups {
		if l.err != "" {
			out = append(out, fmt.Sprintf("%s is not found, its last addresses stay in use: %s", host, l.err))
		}
	}
	if b.truth.err != nil && !errors.Is(b.truth.err, errNoProxy) {
		out = append(out, "the proxy does not say what the data plane knows, probes alone decide: "+reason(b.truth.err))
	}
	for _, n := range b.names {
		if n.panic {
			out = append(out, n.spec.Name+": no address is in, so all that may live are answered")
		}
	}
	slices.Sort(out)
	return out
}
