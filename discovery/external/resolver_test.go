package external_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/external"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/hashtrie"
)

var db = discovery.ServiceName{Namespace: "shop", Name: "db"}

// world has names, and what came of them.
type world struct {
	*external.Resolver

	mu      sync.Mutex
	names   map[string]string // addresses, or an error after "!"
	lookups map[string]int
	slow    time.Duration
	last    discovery.Local
	log     *observer.ObservedLogs
	reg     *prometheus.Registry
}

const ttl = 30 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	w := &world{names: map[string]string{}, lookups: map[string]int{}, log: logs, reg: prometheus.NewRegistry()}
	w.Resolver = external.New(external.Config{Lookup: w.lookup, Guard: &discovery.Guard{}, Log: zap.New(core), Registerer: w.reg}, w)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) SetLocal(l discovery.Local) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = l
}

// counts are how often each name was looked up.
func (w *world) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.lookups)
}

func (w *world) lookup(ctx context.Context, family, host string) ([]netip.Addr, time.Duration, error) {
	w.mu.Lock()
	text, slow := w.names[host], w.slow
	if family == "ip6" {
		text = w.names[host+" ip6"]
	}
	w.lookups[host]++
	w.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if reason, fails := strings.CutPrefix(text, "!"); fails {
		return nil, 0, errors.New(reason)
	}
	var out []netip.Addr
	for a := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, ttl, nil
}

func (w *world) name(host, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[host] = text
}

// set sets services outside, each by its endpoints HOST@REGION:PORT, all for its port 80.
func (w *world) set(services map[discovery.ServiceName]string) {
	all := map[discovery.ServiceName]*discovery.Service{{Namespace: "shop", Name: "inside"}: {}}
	for n, text := range services {
		x := &discovery.External{}
		for e := range strings.FieldsSeq(text) {
			host, at, _ := strings.Cut(e, "@")
			x.Endpoints = append(x.Endpoints, discovery.ExternalEndpoint{
				Host: host, Locality: discovery.Locality{Region: at}, Ports: map[uint16]uint16{80: 8080},
			})
		}
		all[n] = &discovery.Service{
			Name: n, External: x, Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.9")},
			Ports: []discovery.ServicePort{{Port: 8080, Protocol: discovery.TCP}},
		}
	}
	w.Resolver.SetLocal(discovery.Local{Services: hashtrie.Of(all)})
}

// has are the endpoints of a service that the catalog gets.
func (w *world) has(n discovery.ServiceName) string {
	synctest.Wait()
	w.mu.Lock()
	s := w.last.Services.Get(n)
	w.mu.Unlock()
	if s == nil {
		return "no service"
	}
	var out []string
	for _, e := range s.Endpoints[80] {
		out = append(out, fmt.Sprintf("%s(%s)@%s", e.Address, e.Host, e.Locality.Region))
	}
	return strings.Join(out, " ")
}

// Endpoints are where names lead, and follow them.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		want := func(endpoints string) {
			t.Helper()
			if got := w.has(db); got != endpoints {
				t.Errorf("got  %s\nwant %s", got, endpoints)
			}
		}
		w.name("a.test", "10.0.0.2 10.0.0.1")
		w.name("b.test", "10.0.0.3")
		w.set(map[discovery.ServiceName]string{db: "a.test@west b.test@east 10.0.0.4@east"})
		const all = "10.0.0.1:8080(a.test)@west 10.0.0.2:8080(a.test)@west 10.0.0.3:8080(b.test)@east 10.0.0.4:8080()@east"
		want(all)

		w.name("b.test", "10.0.0.5")
		bubble.Pass(ttl - 1)
		want(all)
		bubble.Pass(1)
		const moved = "10.0.0.1:8080(a.test)@west 10.0.0.2:8080(a.test)@west 10.0.0.4:8080()@east 10.0.0.5:8080(b.test)@east"
		want(moved)

		w.name("b.test", "!it is broken")
		w.name("a.test", "")
		bubble.Pass(ttl)
		want(moved)
		problems := strings.Join(w.Problems(), "\n")
		for _, text := range []string{
			"name b.test (IPv4) of an ExternalService: it is broken: addresses that were found before are used, 1",
			"a.test (IPv4) of an ExternalService: it has no addresses: addresses that were found before are used, 2",
		} {
			if !strings.Contains(problems, text) {
				t.Errorf("problems lack %q: %s", text, problems)
			}
		}
		if n := w.log.FilterMessage("name of an external service was not found").Len(); n != 2 {
			t.Errorf("%d lines of log", n)
		}
		bubble.Pass(time.Hour)
		if n := w.log.FilterMessage("name of an external service was not found").Len(); n != 2 {
			t.Errorf("%d lines of log after an hour", n)
		}

		w.name("a.test", "10.0.0.1")
		w.name("b.test", "10.0.0.5")
		bubble.Pass(time.Minute)
		want("10.0.0.1:8080(a.test)@west 10.0.0.4:8080()@east 10.0.0.5:8080(b.test)@east")
		if p := w.Problems(); len(p) > 0 {
			t.Errorf("problems: %v", p)
		}

		w.set(nil)
		want("no service")
		before := w.counts()
		bubble.Pass(time.Hour)
		if !maps.Equal(before, w.counts()) {
			t.Error("names are looked up that nothing needs")
		}
	})
}

// A slow name server keeps no other name, nor what a source finds, waiting.
func TestSlowLookup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.slow = time.Hour
		w.name("a.test", "10.0.0.1")
		w.set(map[discovery.ServiceName]string{db: "a.test@west"})
		if got := w.has(db); got != "" {
			t.Errorf("%s", got)
		}
		w.mu.Lock()
		w.slow = 0
		w.mu.Unlock()
		other := discovery.ServiceName{Namespace: "shop", Name: "other"}
		w.name("b.test", "10.0.0.2")
		w.set(map[discovery.ServiceName]string{db: "a.test@west", other: "b.test@west"})
		if got := w.has(other); got != "10.0.0.2:8080(b.test)@west" {
			t.Errorf("%s", got)
		}
		bubble.Pass(20 * time.Second) // the first lookup gives up, and is repeated
		if got := w.has(db); got != "10.0.0.1:8080(a.test)@west" {
			t.Errorf("%s", got)
		}
	})
}

// Many names are looked up, but not all at once.
func TestManyNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const names = 100
		w := newWorld(t)
		w.slow = time.Second
		var all []string
		for i := range names {
			w.name(fmt.Sprintf("n%d.test", i), fmt.Sprintf("10.0.1.%d", i))
			all = append(all, fmt.Sprintf("n%d.test@west", i))
		}
		w.set(map[discovery.ServiceName]string{db: strings.Join(all, " ")})
		synctest.Wait()
		if n := len(w.counts()); n >= names || n == 0 {
			t.Errorf("%d names at once", n)
		}
		bubble.Pass(8 * time.Second)
		if n := len(strings.Fields(w.has(db))); n != names {
			t.Errorf("%d endpoints", n)
		}
	})
}

// A name does not lead where no endpoint may be.
func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.name("a.test", "127.0.0.1 169.254.169.254 0.0.0.0 10.9.9.9 10.0.0.1")
		w.set(map[discovery.ServiceName]string{db: "a.test@west"})
		if got := w.has(db); got != "10.0.0.1:8080(a.test)@west" {
			t.Errorf("%s", got)
		}
		problems := w.Problems()
		const loop = "ExternalService shop/db: the address 10.9.9.9:8080 of a.test is not used: it leads back to the proxies of this cluster: " +
			"calls would loop"
		if len(problems) != 4 || !slices.Contains(problems, loop) {
			t.Errorf("%q", problems)
		}
	})
}

// What leads to the proxies for another service, or to a proxy itself, is no endpoint either, as long as it does.
func TestLoops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.name("a.test", "10.9.9.8 10.1.0.7 10.0.0.1")
		const all = "10.0.0.1:8080(a.test)@west 10.1.0.7:8080(a.test)@west 10.9.9.8:8080(a.test)@west"
		w.set(map[discovery.ServiceName]string{db: "a.test@west"})
		if got := w.has(db); got != all {
			t.Errorf("%s", got)
		}
		of := w.last
		other := discovery.ServiceName{Namespace: "shop", Name: "other"}
		is := &discovery.Service{
			Name: other, Addresses: []netip.Addr{netip.MustParseAddr("10.9.9.8")},
			Ports: []discovery.ServicePort{{Port: 8080, Protocol: discovery.TCP}, {Port: 8080, Protocol: discovery.UDP}},
		}
		step := func(want string, change func(*discovery.Local)) {
			t.Helper()
			l := of
			change(&l)
			w.Resolver.SetLocal(l)
			if got := w.has(db); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		step(all, func(l *discovery.Local) { l.Services = l.Services.With(other, is) }) // kube-proxy leads elsewhere
		listening := *is
		listening.Listeners = []discovery.Listener{{Address: netip.MustParseAddrPort("[::]:20001"), Port: 8080}}
		step("10.0.0.1:8080(a.test)@west 10.1.0.7:8080(a.test)@west",
			func(l *discovery.Local) { l.Services = l.Services.With(other, &listening) })
		step("10.0.0.1:8080(a.test)@west 10.9.9.8:8080(a.test)@west",
			func(l *discovery.Local) { l.ProxyAddresses = []netip.Addr{netip.MustParseAddr("10.1.0.7")} })
		step(all, func(*discovery.Local) {})
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.name("a.test", "10.0.0.1")
		w.name("b.test", "!it is broken")
		w.set(map[discovery.ServiceName]string{db: "a.test@west b.test@west"})
		synctest.Wait()
		const want = `
# HELP eastway_discovery_external_lookups_total Lookups of names of external services.
# TYPE eastway_discovery_external_lookups_total counter
eastway_discovery_external_lookups_total{result="failed"} 1
eastway_discovery_external_lookups_total{result="ok"} 3
# HELP eastway_discovery_external_names_failing Names of external services that the last lookup did not find.
# TYPE eastway_discovery_external_names_failing gauge
eastway_discovery_external_names_failing 1
`
		if err := testutil.GatherAndCompare(w.reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	})
}

// A family of which nothing is known keeps the other one's addresses from none.
func TestFamilies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.name("a.test", "10.0.0.1")
		w.name("a.test ip6", "fd00::1")
		w.set(map[discovery.ServiceName]string{db: "a.test@west"})
		const both, one = "10.0.0.1:8080(a.test)@west [fd00::1]:8080(a.test)@west", "10.0.0.1:8080(a.test)@west"
		if got := w.has(db); got != both {
			t.Errorf("%s", got)
		}
		w.name("a.test", "!timeout")
		bubble.Pass(ttl)
		if got := w.has(db); got != both || len(w.Problems()) != 1 {
			t.Errorf("IPv4 is not answered: %s, %q", got, w.Problems())
		}
		w.name("a.test", "10.0.0.1")
		w.name("a.test ip6", "")
		bubble.Pass(time.Minute)
		if got := w.has(db); got != one || len(w.Problems()) != 0 {
			t.Errorf("no IPv6 any more: %s, %q", got, w.Problems())
		}
	})
}
