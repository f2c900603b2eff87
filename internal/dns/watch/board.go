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
	lookups  map[string]*lookedUp // by host name
	problems []string             // of manifests
	index    map[target][]place   // where the result of a probe belongs
}

// place is an entry of a name.
type place struct {
	name  *nameState
	entry *entryState
}

type nameState struct {
	spec    *config.GlobalName
	served  *server.Name
	chooser *atomic.Pointer[steer.Chooser]
	entries []*entryState
	shown   map[shownKey]bool // whether each address was in, as was logged last
	panic   string            // the families of which nothing is in
	empty   bool              // no address is known
	version uint64            // of the entries, as was answered last
}

type shownKey struct {
	cluster string
	addr    netip.Addr
}

type entryState struct {
	spec     config.Entry
	services []string
	judge    *judge.Entry
}

// NewBoard has no names yet. The logger and the registerer may be nil.
func NewBoard(log *zap.Logger, reg prometheus.Registerer) *Board {
	if log == nil {
		log = zap.NewNop()
	}
	return &Board{log: log, metrics: newMetrics(reg), truth: newTruth(), lookups: make(map[string]*lookedUp)}
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
	b.indexLocked()
	b.zones = b.zonesLocked(now, c)
	b.metrics.manifestErrors.Set(float64(len(problems)))
	return server.NewZones(b.zones)
}

func (b *Board) nameLocked(now time.Time, spec *config.GlobalName, old *nameState) *nameState {
	n := &nameState{spec: spec, chooser: new(atomic.Pointer[steer.Chooser]), shown: make(map[shownKey]bool)}
	entries := make(map[string]*entryState)
	if old != nil {
		n.shown, n.panic, n.empty = old.shown, old.panic, old.empty
		for _, e := range old.entries {
			entries[e.spec.Cluster] = e
		}
	}
	limits := judge.Thresholds{Unhealthy: spec.Spec.Probe.UnhealthyThreshold, Healthy: spec.Spec.Probe.HealthyThreshold}
	for i := range spec.Spec.Entries {
		e := &entryState{spec: spec.Spec.Entries[i], judge: judge.NewEntry(limits)}
		if e.spec.Service != "" {
			e.services = append(e.services, e.spec.Service)
		}
		e.services = append(e.services, spec.Spec.Services...)
		if was := entries[e.spec.Cluster]; was != nil {
			e.judge = was.judge
			e.judge.SetThresholds(limits)
			if !slices.Equal(e.services, was.services) {
				e.judge.ForgetDataPlane(now)
			}
		}
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

// addressLocked gives an entry its addresses, from the manifest or from the last answer for its host name. Until there is one, those that the
// entry had stay.
func (b *Board) addressLocked(now time.Time, e *entryState) {
	var addrs []netip.Addr
	for _, text := range e.spec.Addresses {
		a, _ := netip.ParseAddr(text) // config has checked it
		addrs = append(addrs, a)
	}
	if l := b.lookups[e.spec.Hostname]; l != nil {
		addrs = l.inUse
	}
	e.judge.SetAddresses(now, addrs)
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

// indexLocked finds out what has to be probed, for whom.
func (b *Board) indexLocked() {
	b.index = make(map[target][]place)
	for _, n := range b.names {
		for _, e := range n.entries {
			for _, a := range e.judge.Addresses(time.Time{}) {
				t := target{a.Addr, n.spec.Spec.Probe}
				b.index[t] = append(b.index[t], place{n, e})
			}
		}
	}
}

// targets are what has to be probed.
func (b *Board) targets() map[target]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[target]bool, len(b.index))
	for t := range b.index {
		out[t] = true
	}
	return out
}

// queries are what has to be looked up.
func (b *Board) queries() map[query]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	out, hosts := make(map[query]bool), make(map[string]bool)
	for _, n := range b.names {
		for _, e := range n.entries {
			if e.spec.Hostname != "" {
				hosts[e.spec.Hostname] = true
			}
		}
	}
	for host := range hosts {
		for _, f := range families() {
			out[query{host, f}] = true
		}
	}
	for host := range b.lookups {
		if !hosts[host] {
			delete(b.lookups, host)
		}
	}
	return out
}

// probed takes the result of a probe.
func (b *Board) probed(now time.Time, t target, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	local := errors.Is(err, errLocal)
	switch {
	case local:
		b.metrics.probes.WithLabelValues("unknown").Inc()
	case err != nil:
		b.metrics.probes.WithLabelValues("failed").Inc()
	default:
		b.metrics.probes.WithLabelValues("passed").Inc()
	}
	for _, at := range b.index[t] {
		if local {
			at.entry.judge.Unprobed(now, t.addr, reason(err))
		} else {
			at.entry.judge.Probe(now, t.addr, err == nil, reason(err))
		}
		b.followLocked(now, at.name)
	}
}

// found takes the result of a lookup.
func (b *Board) found(now time.Time, q query, addrs []netip.Addr, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lookups[q.host]
	if l == nil {
		l = new(lookedUp)
		b.lookups[q.host] = l
	}
	was := l.problem()
	changed := l.take(q.family, addrs, err)
	if problem := l.problem(); was == "" && problem != "" {
		b.log.Warn("the name of an entry is not found; its last addresses stay in use", zap.String("host", q.host), zap.String("error", problem))
	}
	for _, n := range b.names {
		for _, e := range n.entries {
			if e.spec.Hostname != q.host {
				continue
			}
			if changed {
				b.addressLocked(now, e)
			}
			b.refreshLocked(now, n)
		}
	}
	if changed {
		b.indexLocked()
	}
}

// tick has time pass; true: what has to be probed is not the same any more.
func (b *Board) tick(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.names {
		for _, e := range n.entries {
			e.judge.Tick(now)
		}
		b.followLocked(now, n)
	}
	before := b.index
	b.indexLocked()
	changed := len(before) != len(b.index)
	for t := range b.index {
		changed = changed || before[t] == nil
	}
	return changed
}

// followLocked has answers follow what is judged, if that has changed.
func (b *Board) followLocked(now time.Time, n *nameState) {
	if n.versions() != n.version {
		b.refreshLocked(now, n)
	}
}

// versions change with each change of an entry.
func (n *nameState) versions() (sum uint64) {
	for _, e := range n.entries {
		sum += e.judge.Version()
	}
	return sum
}

// settled is true once each target has had a result, and each host name an answer or an error.
func (b *Board) settled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.names {
		for _, e := range n.entries {
			if e.spec.Hostname != "" && !b.lookups[e.spec.Hostname].tried() {
				return false
			}
			for _, a := range e.judge.Addresses(time.Time{}) {
				if !a.Tried {
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
	n.version = n.versions()
	b.alarmLocked(n, chooser)
	b.metrics.show(n, shown)
	n.shown = shown
}

// alarmLocked logs that nothing of a name is in, or known at all, and the end of that.
func (b *Board) alarmLocked(n *nameState, chooser *steer.Chooser) {
	var texts []string
	for _, f := range chooser.Panic() {
		texts = append(texts, f.String())
	}
	if now := strings.Join(texts, " and "); now != n.panic {
		if n.panic = now; now != "" {
			b.log.Error("no address of a name is in: all that may live are answered; 'eastway dns explain' says why",
				zap.String("name", n.spec.Name), zap.String("family", now))
		} else {
			b.log.Info("addresses of a name are in again", zap.String("name", n.spec.Name))
		}
	}
	if empty := chooser.Empty() && b.triedLocked(n); empty != n.empty {
		if n.empty = empty; empty {
			b.log.Error("no address of a name is known: its queries are answered with SERVFAIL; 'eastway dns explain' says why",
				zap.String("name", n.spec.Name))
		} else {
			b.log.Info("addresses of a name are known again", zap.String("name", n.spec.Name))
		}
	}
}

// triedLocked is true once all host names of a name were looked up.
func (b *Board) triedLocked(n *nameState) bool {
	return !slices.ContainsFunc(n.entries, func(e *entryState) bool {
		return e.spec.Hostname != "" && !b.lookups[e.spec.Hostname].tried()
	})
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
	b.truth.update(nil, errNoProxy)
	b.judgeTruthLocked(now)
}

func (b *Board) judgeTruthLocked(now time.Time) {
	for _, n := range b.names {
		for _, e := range n.entries {
			e.judge.DataPlane(now, b.truth.of(e.spec.Cluster, e.services))
		}
		b.followLocked(now, n)
	}
}

func (b *Board) problemsLocked() (out []string) {
	out = slices.Clone(b.problems)
	for host, l := range b.lookups {
		if err := l.problem(); err != "" {
			out = append(out, fmt.Sprintf("%s is not found, its last addresses stay in use: %s", host, err))
		}
	}
	if b.truth.err != nil && !errors.Is(b.truth.err, errNoProxy) {
		out = append(out, "the proxy does not say what the data plane knows, probes alone decide: "+reason(b.truth.err))
	}
	for _, n := range b.names {
		if n.panic != "" {
			out = append(out, n.spec.Name+": no "+n.panic+" address is in, so all that may live are answered")
		}
		if n.empty {
			out = append(out, n.spec.Name+": no address is known, so queries are answered with SERVFAIL")
		}
	}
	slices.Sort(out)
	return out
}
