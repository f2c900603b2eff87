package takeover

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/takeover/nft"
	"github.com/eastway/eastway/internal/takeover/report"
)

// fakeSource is a cluster. Without set its API server has not answered yet.
type fakeSource struct {
	changed notify.Signal
	mu      sync.Mutex
	inv     *Inventory
}

func newFakeSource() *fakeSource { return &fakeSource{changed: notify.NewSignal()} }

func (s *fakeSource) set(inv *Inventory) {
	s.mu.Lock()
	s.inv = inv
	s.mu.Unlock()
	s.changed.Notify()
}

func (*fakeSource) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (s *fakeSource) Changed() <-chan struct{} { return s.changed }

func (s *fakeSource) Inventory() (Inventory, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inv == nil {
		return Inventory{}, false
	}
	return *s.inv, true
}

// write is one transaction.
type write struct {
	at       time.Time
	services []nft.Service
}

// fakeTables keeps what is written.
type fakeTables struct {
	mu      sync.Mutex
	takes   time.Duration // to write
	writes  []write
	deleted bool
	err     error
}

func (f *fakeTables) Apply(r *nft.Ruleset) error {
	f.mu.Lock()
	takes := f.takes
	f.mu.Unlock()
	<-time.After(takes)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.writes = append(f.writes, write{time.Now(), slices.Clone(r.Services)})
	return nil
}

func (f *fakeTables) Delete() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = true
	return nil
}

// slow makes writing take that long.
func (f *fakeTables) slow(takes time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.takes = takes
}

func (f *fakeTables) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// last is the last transaction, and how many there were.
func (f *fakeTables) last() (write, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.writes) == 0 {
		return write{}, 0
	}
	return f.writes[len(f.writes)-1], len(f.writes)
}

// proxies is where the last transaction sends the first service.
func (f *fakeTables) proxies() []netip.Addr {
	w, _ := f.last()
	if len(w.services) == 0 {
		return nil
	}
	return w.services[0].Proxies
}

// bench is an agent in a bubble.
type bench struct {
	*Agent

	source *fakeSource
	tables *fakeTables
	fake   *fakeProxies
	stop   func()
}

// working runs an agent on a node where onNode (pod a) is near and farAway (pod b) is not.
func working(t *testing.T, f func(t *testing.T, b *bench), change ...func(*Config)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{source: newFakeSource(), tables: &fakeTables{}, fake: newFakeProxies()}
		cfg := Config{Source: b.source, Tables: b.tables, StateDir: dir}
		for _, c := range change {
			c(&cfg)
		}
		var err error
		if b.Agent, err = New(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		b.prober.probe = b.fake.probe
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		b.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		f(t, b)
		b.stop()
	})
}

// twoProxies is the inventory for pods a and b.
func twoProxies() *Inventory {
	inv := planInventory(shop("10.96.0.1"))
	inv.Proxies = []Proxy{inv.Proxies[0], inv.Proxies[4]}
	inv.Proxies[0].Pod, inv.Proxies[1].Pod = "a", "b"
	return inv
}

func TestAgentFollowsProxies(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", lively)
		b.fake.set("b", lively)
		bubble.Pass(time.Minute)
		if _, n := b.tables.last(); n != 0 || b.Ready() == nil {
			t.Errorf("%d writes before anything is known, ready: %v", n, b.Ready())
		}
		b.source.set(twoProxies())
		bubble.Pass(time.Second)
		if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(onNode)}) || b.Ready() != nil {
			t.Errorf("calls go to %v, ready: %v", got, b.Ready())
		}
		b.fake.set("a", hung)
		bubble.Pass(time.Second)
		if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(farAway)}) {
			t.Errorf("a second after a hung calls go to %v", got)
		}
		b.fake.set("b", nil)
		bubble.Pass(farInterval)
		w, _ := b.tables.last()
		if len(w.services) != 0 {
			t.Errorf("no proxy is alive, but calls go to %v", w.services)
		}
		if s := b.Status(); s.Services[0].Ports[0].Reason != "no proxy is alive" || s.Proxies[0].Alive || s.Proxies[1].Distance != "cluster" {
			t.Errorf("status = %+v", s)
		}
		if got := testutil.ToFloat64(b.metrics.services.WithLabelValues(stateFailOpen)); got != 1 {
			t.Errorf("%v services fail open by the metric", got)
		}
		for state, want := range map[string]float64{proxySilent: 1, proxyDead: 1, proxySuspect: 0} {
			if got := testutil.ToFloat64(b.metrics.proxies.WithLabelValues(state)); got != want {
				t.Errorf("%v proxies are %s by the metric, want %v", got, state, want)
			}
		}
	})
}

// Entries are renewed long before they end, and at the end once more.
func TestAgentRenews(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", lively)
		b.source.set(twoProxies())
		bubble.Pass(10*time.Minute + refreshInterval/2)
		b.tables.mu.Lock()
		writes := slices.Clone(b.tables.writes)
		b.tables.mu.Unlock()
		for i := 1; i < len(writes); i++ {
			if gap := writes[i].at.Sub(writes[i-1].at); gap > EntryLife/2 {
				t.Errorf("%s between two writes", gap)
			}
		}
		if want := int(10 * time.Minute / refreshInterval); len(writes) > want+5 {
			t.Errorf("%d writes in ten minutes, want about %d", len(writes), want)
		}
		bubble.Pass(time.Second)
		b.stop()
		if last, n := b.tables.last(); n != len(writes)+1 || time.Since(last.at) > time.Millisecond || len(last.services) != 1 || b.tables.deleted {
			t.Errorf("at the end: %+v of %d writes, deleted: %v", last, n, b.tables.deleted)
		}
	})
}

// A new agent does not touch its predecessor's entries before it knows better.
func TestAgentWaitsForProxies(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", hung)
		b.fake.set("b", func(ctx context.Context) (*Report, error) {
			<-time.After(probeTimeout / 2)
			return lively(ctx)
		})
		b.source.set(twoProxies())
		bubble.Pass(probeTimeout / 2)
		if _, n := b.tables.last(); n != 0 {
			t.Error("written before every proxy has been heard of")
		}
		bubble.Pass(probeTimeout)
		if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(farAway)}) {
			t.Errorf("calls go to %v", got)
		}
	})
}

// A node that is short of CPU: a probe of the only proxy times out, the agent itself then stands still for three seconds, and one more
// probe times out. The proxy works all the time.
func TestAgentKeepsTheLastProxyThroughItsOwnPause(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", lively)
		b.source.set(twoProxies()) // b refuses
		bubble.Pass(10 * time.Second)
		n := 0
		b.fake.set("a", func(ctx context.Context) (*Report, error) {
			switch n++; n {
			case 1, 3:
				return hung(ctx)
			case 2:
				<-ctx.Done()
				<-time.After(suspectLife)
				return nil, ctx.Err()
			}
			return lively(ctx)
		})
		for range 100 {
			bubble.Pass(100 * time.Millisecond)
			if len(b.tables.proxies()) == 0 {
				t.Fatalf("the tables are empty after %d probes of which two timed out", n)
			}
		}
	})
}

// An agent starts, and the only proxy answers every other probe. Its predecessor's entries must not end before the first write.
func TestAgentStartsBesideASlowProxy(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		n := 0
		b.fake.set("a", func(ctx context.Context) (*Report, error) {
			if n++; n%2 == 1 {
				return hung(ctx)
			}
			return lively(ctx)
		})
		b.source.set(twoProxies()) // b refuses
		bubble.Pass(EntryLife)
		if w, n := b.tables.last(); n == 0 || len(w.services) == 0 {
			t.Errorf("%d writes in %v, the last of %d services; ready: %v", n, EntryLife, len(w.services), b.Ready())
		}
	})
}

func TestAgentWithoutAPIServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inv := twoProxies()
	if err := (&snapshot{dir: dir}).store(inv); err != nil {
		t.Fatal(err)
	}
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", lively)
		bubble.Pass(time.Minute)
		if got := b.tables.proxies(); !slices.Equal(got, []netip.Addr{addr(onNode)}) || b.Ready() != nil {
			t.Errorf("calls go to %v, ready: %v", got, b.Ready())
		}
		if got := testutil.ToFloat64(b.metrics.snapshot); got != 1 {
			t.Errorf("from_snapshot = %v", got)
		}
		// The API server is back, and says that the annotation is gone.
		b.source.set(&Inventory{Self: inv.Self, Proxies: inv.Proxies})
		bubble.Pass(time.Second)
		if w, _ := b.tables.last(); len(w.services) != 0 || testutil.ToFloat64(b.metrics.snapshot) != 0 {
			t.Errorf("rules are %+v", w.services)
		}
		if kept, _, err := b.keep.load(); err != nil || len(kept.Services) != 0 {
			t.Errorf("snapshot = %+v, %v", kept, err)
		}
	}, func(c *Config) { c.StateDir = dir })
}

func TestAgentThatCannotWrite(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.fake.set("a", lively)
		b.tables.fail(errors.New("no NET_ADMIN"))
		b.source.set(twoProxies())
		bubble.Pass(time.Minute)
		if err := b.Ready(); err == nil || !strings.Contains(err.Error(), "no NET_ADMIN") || b.Status().Error == "" {
			t.Errorf("ready: %v", err)
		}
		if n := testutil.ToFloat64(b.metrics.writes.WithLabelValues("failed")); n < 50 || n > 70 {
			t.Errorf("tried %v times in a minute", n)
		}
		b.tables.fail(nil)
		bubble.Pass(2 * retryInterval)
		if b.Ready() != nil || len(b.tables.proxies()) != 1 || b.Status().Error != "" {
			t.Errorf("ready: %v", b.Ready())
		}
		b.tables.fail(errors.New("no NET_ADMIN"))
		bubble.Pass(refreshInterval)
		if b.Ready() != nil {
			t.Errorf("not ready although the entries live: %v", b.Ready())
		}
		bubble.Pass(EntryLife)
		if b.Ready() == nil {
			t.Error("ready although the entries are gone")
		}
		b.tables.fail(nil)
	})
}

func TestAgentThatIsRemoved(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		b.source.set(twoProxies())
		bubble.Pass(time.Second)
		_, before := b.tables.last()
		b.stop()
		if _, after := b.tables.last(); !b.tables.deleted || after != before {
			t.Errorf("deleted: %v, %d writes after it", b.tables.deleted, after-before)
		}
	}, func(c *Config) { c.Removed = func(ctx context.Context) bool { return ctx.Err() == nil } })
}

func TestAgentNoticesThatItIsStuck(t *testing.T) {
	t.Parallel()
	working(t, func(t *testing.T, b *bench) {
		bubble.Pass(time.Minute)
		if err := b.Healthy(); err != nil {
			t.Error(err)
		}
		b.stop()
		bubble.Pass(2 * stuckAfter)
		if b.Healthy() == nil {
			t.Error("healthy although the loop has ended")
		}
	})
}

func TestTargets(t *testing.T) {
	t.Parallel()
	inv := &Inventory{Self: report.Locality{Node: "n", Zone: "z1", Region: "r"}}
	for i := range 2 * usedProxies {
		zone := "z2"
		if i%2 == 1 {
			zone = "z1"
		}
		for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})} {
			inv.Proxies = append(inv.Proxies, Proxy{Address: a, Locality: report.Locality{Zone: zone, Region: "r"}})
		}
	}
	used := inv.Proxies[0].Address // although it is far
	for _, tt := range targetsOf(inv, map[netip.Addr]bool{used: true}) {
		if often := tt.interval == probeInterval; often != (tt.proxy.Zone == "z1" || tt.proxy.Address == used) {
			t.Errorf("%s in %s is probed every %s", tt.proxy.Address, tt.proxy.Zone, tt.interval)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := Config{Source: newFakeSource(), Tables: &fakeTables{}}
	for want, change := range map[string]func(*Config){
		"Source": func(c *Config) { c.Source = nil }, "Tables": func(c *Config) { c.Tables = nil },
		"CheckAddress": func(c *Config) { c.CheckAddress = addrPort("[::ffff:10.0.0.1]:1") },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "Config."+want) {
			t.Errorf("Validate = %v, want it to name %s", err, want)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
