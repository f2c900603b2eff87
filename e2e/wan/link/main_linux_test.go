package link

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience is how long a test waits for what must happen, on a machine that
	// is busy with other things.
	patience = 20 * time.Second
	// tick is how often it looks.
	tick = time.Millisecond
)

// live is a running link between two namespaces of its own.
type live struct {
	*Link
	t  *testing.T
	ns [2]*netns.Namespace // A, B
}

// needRoot skips a test that cannot run here; continuous integration leaves nothing out.
func needRoot(t *testing.T) {
	t.Helper()
	need.Support(t, Supported())
}

func addresses() (a, b []netip.Prefix) {
	return []netip.Prefix{netip.MustParsePrefix("192.0.2.1/30"), netip.MustParsePrefix("2001:db8::1/64")},
		[]netip.Prefix{netip.MustParsePrefix("192.0.2.2/30"), netip.MustParsePrefix("2001:db8::2/64")}
}

// newNamespace makes one that ends with the test.
func newNamespace(t *testing.T, label string) *netns.Namespace {
	t.Helper()
	ns, err := netns.Create(strings.ReplaceAll(t.Name(), "/", "-") + "-" + label)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// start opens a link and runs it until the test ends.
func start(t *testing.T, aToB, bToA Settings) *live {
	t.Helper()
	needRoot(t)
	// Here and not in TestMain, so that fuzzing does not take the machine over.
	if err := BePunctual(); err != nil {
		t.Log(err)
	}
	w := &live{t: t, ns: [2]*netns.Namespace{newNamespace(t, "a"), newNamespace(t, "b")}}
	c := Config{A: End{Namespace: w.ns[0].Name()}, B: End{Namespace: w.ns[1].Path()}, AtoB: aToB, BtoA: bToA, Seed: 1}
	c.A.Addresses, c.B.Addresses = addresses()
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	w.Link = l
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

// change sets one direction.
func (w *live) change(d Direction, s Settings) {
	w.t.Helper()
	if err := w.Set(d, s); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for a condition.
func (w *live) until(what string, condition func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			w.t.Fatalf("waited %v for: %s; a-b %+v, b-a %+v", patience, what, w.Counters(AtoB), w.Counters(BtoA))
		}
	}
}

// within measures again, a few times, when a busy machine spoilt a measurement:
// what is tested is the line and not the machine.
func within(t *testing.T, what string, want, tolerance float64, measure func() float64) {
	t.Helper()
	const tries = 12
	for try := range tries {
		got := measure()
		if got >= want*(1-tolerance) && got <= want*(1+tolerance) {
			return
		}
		t.Logf("%s: measured %v, asked for %v ± %v %%, try %d", what, got, want, tolerance*100, try+1)
	}
	t.Errorf("%s: not within %v %% of %v in %d tries", what, tolerance*100, want, tries)
}
