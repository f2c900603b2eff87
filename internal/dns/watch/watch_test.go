package watch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
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

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/dns/config"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/status"
)

const manifests = `apiVersion: eastway.dev/v1alpha1
kind: DNSZone
metadata: {name: lb.example.com}
spec:
  nameServers: [{name: ns1.lb.example.com, addresses: [192.0.2.53]}]
---
apiVersion: eastway.dev/v1alpha1
kind: GlobalName
metadata: {name: shop.lb.example.com}
spec:
  entries:
  - {cluster: east, region: eu, addresses: [192.0.2.1]}
  - {cluster: west, region: us, hostname: lb.west.example.net}
  services: [shop/cart]
  probe: {scheme: tcp, port: 80}
`

// site is a simulated DNS server's surroundings: what probes, lookups and the proxy find.
type site struct {
	board   *Board
	watcher *Watcher
	logs    *observer.ObservedLogs
	reg     *prometheus.Registry

	mu    sync.Mutex
	dead  map[string]bool // addresses
	local map[string]bool // those that cannot be probed from here
	fails map[string]bool // families of which lookups fail
	host  []string        // addresses of lb.west.example.net; nil: an error
	proxy *admin.Status   // nil: it does not answer
	hang  time.Duration   // of the proxy, until it does not answer
}

func (s *site) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Status is that of the proxy.
func (s *site) Status(ctx context.Context) (admin.Status, error) {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if hang > 0 {
		select {
		case <-time.After(hang):
		case <-ctx.Done():
		}
		return admin.Status{}, errors.New("timeout")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proxy == nil {
		return admin.Status{}, errors.New("connection refused")
	}
	return *s.proxy, nil
}

func (s *site) lookup(_ context.Context, family, _ string) (out []netip.Addr, ttl time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || s.fails[family] {
		return nil, 0, errors.New("SERVFAIL")
	}
	for _, text := range s.host {
		if a := netip.MustParseAddr(text); a.Is4() == (family == "ip4") {
			out = append(out, a)
		}
	}
	return out, 2 * time.Second, nil
}

// answers are the addresses that clients get now, sorted; with a ! in a panic.
func (s *site) answers() string {
	r, ok := s.board.Report(time.Now(), "shop.lb.example.com")
	if !ok {
		return "no name"
	}
	var out []string
	for _, e := range r.Names[0].Entries {
		for _, a := range e.Addresses {
			if a.Answered {
				out = append(out, a.Address)
			}
		}
	}
	slices.Sort(out)
	if r.Names[0].Panic {
		out = append(out, "!")
	}
	return strings.Join(out, " ")
}

func (s *site) read(t *testing.T, text string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, errs, err := config.NewReader(dir, false).Read()
	if err != nil || len(errs) > 0 {
		t.Fatal(errs, err)
	}
	return c
}

// run has f look at a watcher at work, in virtual time.
func run(t *testing.T, f func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := &site{logs: logs, reg: prometheus.NewRegistry(), dead: map[string]bool{}, host: []string{"192.0.2.2"}}
		s.proxy = world(2, 3, status.Connected)
		s.proxy.Started = time.Now().Add(-time.Hour)
		s.board = NewBoard(zap.New(core), s.reg)
		s.watcher = New(Config{Board: s.board, Proxy: s, Lookup: s.lookup})
		s.watcher.probe = func(_ context.Context, at target) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.local[at.addr.String()] {
				return fmt.Errorf("%w: no route", errLocal)
			}
			if s.dead[at.addr.String()] {
				return errors.New("connection refused")
			}
			return nil
		}
		s.board.SetConfig(time.Now(), s.read(t, manifests), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.watcher.Run(ctx) }()
		s.watcher.Settle(ctx)
		f(t, s)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// step changes something, and says what is answered after a time.
type step struct {
	change func(s *site)
	after  time.Duration
	want   string
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	const both, east, west = "192.0.2.1 192.0.2.2", "192.0.2.1", "192.0.2.2"
	kill := func(addrs ...string) func(*site) {
		return func(s *site) {
			s.dead = map[string]bool{}
			for _, a := range addrs {
				s.dead[a] = true
			}
		}
	}
	data := func(eastReady, westReady int, state string) func(*site) {
		return func(s *site) {
			started := s.proxy.Started
			s.proxy = world(eastReady, westReady, state)
			s.proxy.Started = started
		}
	}
	for name, steps := range map[string][]step{
		"an entry dies and returns": {
			{kill(west), 1300 * time.Millisecond, east},
			{kill(), 3 * time.Second, both},
		},
		"one failure": {
			{kill(west), 100 * time.Millisecond, both},
			{kill(), 10 * time.Second, both},
		},
		"one entry's cluster loses its services but not its entry": {
			{data(2, 0, status.Connected), 2100 * time.Millisecond, east},
			{data(2, 3, status.Connected), 3 * time.Second, both},
		},
		"cut off from all peers": { // the own entry is the best answer it knows
			{func(s *site) { data(2, 3, status.Disconnected)(s); kill(west)(s); s.host = nil }, 10 * time.Second, east},
		},
		"two clusters believe the other dead": { // but both entries are seen from outside
			{data(2, 3, status.Disconnected), time.Minute, both},
			{data(2, 0, status.Disconnected), time.Minute, both},
			{data(2, 3, status.Connected), time.Minute, both},
		},
		"the proxy dies": {
			{func(s *site) { s.proxy = nil }, time.Minute, both},
		},
		"all probes fail, the tunnels are fine: panic": {
			{kill(east, west), 5 * time.Second, both + " !"},
			{kill(), 5 * time.Second, both},
		},
		"all probes fail, and one cluster says that it has nothing": {
			{func(s *site) { kill(east, west)(s); data(2, 0, status.Connected)(s) }, 5 * time.Second, east + " !"},
		},
		"no services anywhere": {
			{data(0, 0, status.Connected), 5 * time.Second, both + " !"},
		},
		"the load balancer gets another address": {
			{func(s *site) { s.host = []string{"192.0.2.77"} }, 5 * time.Second, "192.0.2.1 192.0.2.77"},
		},
		"its new address does not answer": {
			{func(s *site) { s.host = []string{"192.0.2.77"}; kill("192.0.2.77")(s) }, 5 * time.Second, east},
		},
		"its name is not found any more": {
			{func(s *site) { s.host = nil }, time.Minute, both},
		},
		"one of its addresses cannot be probed from here": {
			{func(s *site) { s.local = map[string]bool{west: true} }, time.Minute, both},
		},
		"one family of its name is not found": {
			{func(s *site) { s.host, s.fails = []string{"192.0.2.77"}, map[string]bool{"ip6": true} }, 5 * time.Second, "192.0.2.1 192.0.2.77"},
			{func(s *site) { s.fails = map[string]bool{"ip4": true} }, time.Minute, "192.0.2.1 192.0.2.77"},
		},
		"its name has IPv6, which is not found then, nor probed": {
			{func(s *site) { s.host = []string{west, "2001:db8::2"} }, time.Minute, both + " 2001:db8::2"},
			{func(s *site) { s.fails = map[string]bool{"ip6": true} }, time.Minute, both + " 2001:db8::2"},
			{func(s *site) { s.local = map[string]bool{"2001:db8::2": true} }, time.Minute, both + " 2001:db8::2"},
			{func(s *site) { s.host, s.fails = []string{west}, nil }, time.Minute, both},
		},
		"its name leads to addresses that clients cannot reach": {
			{
				func(s *site) { s.host = []string{"127.0.0.1", "0.0.0.1", "255.255.255.255", "224.0.0.1", "192.0.2.77"} },
				time.Minute, "192.0.2.1 192.0.2.77",
			},
		},
		"its name has no addresses": {
			{func(s *site) { s.host = []string{} }, time.Minute, both},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, func(t *testing.T, s *site) {
				bubble.Pass(time.Minute)
				if got := s.answers(); got != both {
					t.Fatalf("at the start: %s", got)
				}
				for i, st := range steps {
					s.set(func() { st.change(s) })
					bubble.Pass(st.after)
					if got := s.answers(); got != st.want {
						t.Errorf("step %d: %s, want %s", i+1, got, st.want)
					}
				}
			})
		})
	}
}

// In a split brain nothing changes, however often the tunnel comes and goes.
func TestWatcherDoesNotFlap(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		bubble.Pass(time.Minute)
		s.logs.TakeAll()
		for i := range 200 {
			s.set(func() {
				s.proxy = world(2, 3, []string{status.Connected, status.Disconnected, status.Suspect}[i%3])
			})
			bubble.Pass(1500 * time.Millisecond)
		}
		if lines := s.logs.TakeAll(); len(lines) > 0 {
			t.Errorf("%d lines, the first: %v", len(lines), lines[0])
		}
	})
}

func TestWatcherFollowsManifests(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		bubble.Pass(10 * time.Second)
		s.logs.TakeAll()
		reload := func(old, replacement string) {
			t.Helper()
			text := strings.Replace(manifests, old, replacement, 1)
			if text == manifests && old != "" {
				t.Fatalf("%q is not there", old)
			}
			s.board.SetConfig(time.Now(), s.read(t, text), []string{"a problem"})
			s.watcher.Changed()
		}
		reload("services:", "strategy: failover\n  services:")
		if got := s.answers(); got != "192.0.2.1" || s.logs.Len() != 0 {
			t.Errorf("%s; %d lines", got, s.logs.Len())
		}
		reload("[192.0.2.1]", "[192.0.2.1, 192.0.2.9]")
		bubble.Pass(time.Second)
		if got := s.answers(); got != "192.0.2.1 192.0.2.2 192.0.2.9" {
			t.Error(got)
		}
		reload("port: 80", "port: 81") // what is known of addresses stays
		if got := s.answers(); got != "192.0.2.1 192.0.2.2" {
			t.Error(got)
		}
		s.set(func() { s.host = nil })
		bubble.Pass(time.Minute)
		reload("port: 80", "port: 82") // so do the addresses of a name that is not found
		if got := s.answers(); got != "192.0.2.1 192.0.2.2" {
			t.Error(got)
		}
		if n := testutil.CollectAndCount(s.board.metrics.address); n != 2 {
			t.Errorf("%d addresses in metrics", n)
		}
		r, _ := s.board.Report(time.Now(), "")
		if !slices.Contains(r.Problems, "a problem") || r.Names[0].Entries[1].Hostname != "lb.west.example.net" {
			t.Errorf("%+v", r)
		}
		_, name, _ := strings.Cut(manifests, "---")
		reload(name, "")
		bubble.Pass(time.Second)
		if n := testutil.CollectAndCount(s.board.metrics.address) + testutil.CollectAndCount(s.board.metrics.panic); n != 0 {
			t.Errorf("%d series of a name that is gone", n)
		}
		if _, ok := s.board.Report(time.Now(), "shop.lb.example.com"); ok || len(s.board.targets()) != 0 {
			t.Error("the name is there")
		}
	})
}

// Another host name that is not answered yet takes nothing away.
func TestAnotherHostname(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		bubble.Pass(time.Minute)
		s.set(func() { s.host = nil })
		text := strings.Replace(manifests, "addresses: [192.0.2.1]", "hostname: lb.east.example.net", 1)
		s.board.SetConfig(time.Now(), s.read(t, text), nil)
		for range 3 {
			s.watcher.Changed()
			if got := s.answers(); got != "192.0.2.1 192.0.2.2" {
				t.Error(got)
			}
			bubble.Pass(time.Minute)
		}
		s.set(func() { s.dead["192.0.2.1"] = true }) // it is probed all the same
		bubble.Pass(5 * time.Second)
		if got := s.answers(); got != "192.0.2.2" {
			t.Error(got)
		}
		s.set(func() { s.host = []string{"192.0.2.9"} })
		bubble.Pass(time.Minute)
		if got := s.answers(); got != "192.0.2.9 192.0.2.9" { // of both entries
			t.Error(got)
		}
	})
}

// What was said of other services does not count for the new ones.
func TestOtherServices(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		s.set(func() { started := s.proxy.Started; s.proxy = world(0, 3, status.Connected); s.proxy.Started = started })
		bubble.Pass(time.Minute)
		if got := s.answers(); got != "192.0.2.2" {
			t.Fatal(got)
		}
		s.board.SetConfig(time.Now(), s.read(t, strings.Replace(manifests, "shop/cart", "shop/other", 1)), nil)
		if got := s.answers(); got != "192.0.2.1 192.0.2.2" {
			t.Errorf("at once: %s", got)
		}
	})
}

// Silent addresses, whose probes take their whole time, do not keep others waiting.
func TestSilentAddresses(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		zone, _, _ := strings.Cut(manifests, "---")
		var text strings.Builder
		text.WriteString(zone)
		for i := range 700 {
			fmt.Fprintf(&text, "---\napiVersion: eastway.dev/v1alpha1\nkind: GlobalName\nmetadata: {name: n%d.lb.example.com}\nspec:\n"+
				"  entries: [{cluster: east, addresses: [192.0.2.1]}, {cluster: west, addresses: [192.0.2.2]}]\n"+
				"  probe: {scheme: http, timeout: 5s}\n", i)
		}
		s.set(func() { s.dead["192.0.2.2"] = true })
		probe := s.watcher.probe
		s.watcher.probe = func(ctx context.Context, at target) error {
			err := probe(ctx, at)
			if err != nil {
				pace.Sleep(ctx, at.probe.Timeout.Duration)
			}
			return err
		}
		s.board.SetConfig(time.Now(), s.read(t, text.String()), nil)
		s.watcher.Changed()
		bubble.Pass(time.Minute)
		s.set(func() { s.dead["192.0.2.1"] = true })
		bubble.Pass(13 * time.Second) // two failures that take 5 s, an interval and a quarter between them
		r, _ := s.board.Report(time.Now(), "")
		for _, n := range r.Names {
			if a := n.Entries[0].Addresses[0]; a.In {
				t.Fatalf("%s: %+v", n.Name, a)
			}
		}
	})
}

// A name without any address is an error that is seen.
func TestEmptyName(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		s.set(func() { s.host = nil })
		text := strings.Replace(manifests, "  - {cluster: east, region: eu, addresses: [192.0.2.1]}\n", "", 1)
		text = strings.ReplaceAll(strings.ReplaceAll(text, "shop.lb", "new.lb"), "lb.west", "other.west")
		s.board.SetConfig(time.Now(), s.read(t, text), nil)
		s.watcher.Changed()
		value := func() float64 { return testutil.ToFloat64(s.board.metrics.empty.WithLabelValues("new.lb.example.com")) }
		bubble.Pass(time.Minute)
		r, _ := s.board.Report(time.Now(), "")
		if n := s.logs.FilterMessageSnippet("no address of a name is known").Len(); n != 1 || value() != 1 ||
			!strings.Contains(strings.Join(r.Problems, "\n"), "new.lb.example.com: no address is known") {
			t.Errorf("%d lines, metric %v, problems %q", n, value(), r.Problems)
		}
		s.set(func() { s.host = []string{"192.0.2.9"} })
		bubble.Pass(time.Minute)
		if value() != 0 {
			t.Error("the metric stays")
		}
	})
}

// A proxy that hangs is queried again soon, and what it said ends.
func TestProxyHangs(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		s.set(func() { started := s.proxy.Started; s.proxy = world(2, 0, status.Connected); s.proxy.Started = started })
		bubble.Pass(time.Minute)
		if got := s.answers(); got != "192.0.2.1" {
			t.Fatal(got)
		}
		s.set(func() { s.hang = 10 * time.Minute })
		bubble.Pass(32 * time.Second)
		if got := s.answers(); got != "192.0.2.1 192.0.2.2" {
			t.Errorf("what was said last counts: %s", got)
		}
		bubble.Pass(10 * time.Minute)
		s.set(func() { s.hang = 0 })
		bubble.Pass(10 * time.Minute)
		s.set(func() { started := s.proxy.Started; s.proxy = world(0, 3, status.Connected); s.proxy.Started = started })
		bubble.Pass(15 * time.Second)
		if got := s.answers(); got != "192.0.2.2" {
			t.Error(got)
		}
	})
}

// That no proxy is to be queried is no problem.
func TestWatcherWithoutProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := &site{host: []string{"192.0.2.2"}, board: NewBoard(zap.New(core), nil)}
		s.watcher = New(Config{Board: s.board, Lookup: s.lookup})
		s.watcher.probe = func(context.Context, target) error { return nil }
		s.board.SetConfig(time.Now(), s.read(t, manifests), nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.watcher.Run(ctx) }()
		bubble.Pass(time.Minute)
		r, _ := s.board.Report(time.Now(), "")
		if got := s.answers(); got != "192.0.2.1 192.0.2.2" || len(r.Problems) > 0 || logs.FilterLevelExact(zap.WarnLevel).Len() > 0 {
			t.Errorf("%s, %q, %v", got, r.Problems, logs.All())
		}
		if e := r.Names[0].Entries[0]; e.DataPlane != "UNKNOWN" || !strings.Contains(e.DataPlaneReason, "--proxy") {
			t.Errorf("%+v", e)
		}
		if n := testutil.CollectAndCount(s.board.metrics.proxyUp); n != 0 {
			t.Error("the metric of the proxy has a value")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What changes is logged, with the reason, and explained.
func TestChangesAreReported(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, s *site) {
		bubble.Pass(10 * time.Second)
		s.logs.TakeAll()
		s.set(func() { s.dead["192.0.2.1"], s.dead["192.0.2.2"], s.host = true, true, nil })
		bubble.Pass(10 * time.Second)
		var lines []string
		for _, l := range s.logs.TakeAll() {
			lines = append(lines, l.Message)
		}
		slices.Sort(lines)
		want := "address is out|address is out|no address of a name is in|the name of an entry is not found"
		for i, part := range strings.Split(want, "|") {
			if i >= len(lines) || !strings.HasPrefix(lines[i], part) {
				t.Errorf("lines %q, want %s", lines, want)
				break
			}
		}
		r, _ := s.board.Report(time.Now(), "shop.lb.example.com")
		a := r.Names[0].Entries[0].Addresses[0]
		if a.In || a.Reason != "the probe fails: connection refused" || a.LastGood.IsZero() || r.Names[0].Entries[0].DataPlane != "CAN_SERVE" {
			t.Errorf("%+v", r.Names[0])
		}
		if text := strings.Join(r.Problems, "\n"); !strings.Contains(text, "lb.west.example.net is not found") ||
			!strings.Contains(text, "shop.lb.example.com: no IPv4 address is in") {
			t.Error(text)
		}
		if n := testutil.ToFloat64(s.board.metrics.panic.WithLabelValues("shop.lb.example.com")); n != 1 {
			t.Errorf("panic %v", n)
		}
	})
}
