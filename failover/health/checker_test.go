package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/hashtrie"
)

var errShort = errors.New("short of something")

// lab is a Checker whose endpoints a test decides about, in a bubble.
type lab struct {
	t       *testing.T
	catalog *discovery.Catalog
	metrics *prometheus.Registry
	logs    *observer.ObservedLogs

	mu     sync.Mutex
	fails  map[netip.AddrPort]error
	dialed int
	passed int
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, catalog: discovery.NewCatalog(nil), metrics: prometheus.NewPedanticRegistry(), fails: make(map[netip.AddrPort]error)}
	core, logs := observer.New(zap.InfoLevel)
	l.logs = logs
	c, err := New(Config{
		Catalog: l.catalog, Dial: l.dial, Inconclusive: errShort, Log: zap.New(core), Metrics: l.metrics,
		Passed: func(discovery.EndpointRef, bool) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.passed++
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// gone is what a dial does that nothing answers.
var errGone = errors.New("gone")

func (l *lab) dial(ctx context.Context, to Endpoint) (net.Conn, error) {
	l.mu.Lock()
	l.dialed++
	err := l.fails[to.Address]
	l.mu.Unlock()
	if errors.Is(err, errGone) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	conn, other := net.Pipe()
	_ = other.Close()
	return conn, nil
}

func (l *lab) fail(i int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fails[at(i).endpoint] = err
}

func (l *lab) counts() (dialed, passed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialed, l.passed
}

// set is the state of the source: so many endpoints, and the policy's check.
func (l *lab) set(endpoints int, check *v1alpha1.HealthCheck) {
	s := &discovery.Service{
		Name: shop(0), Ports: []discovery.ServicePort{{Port: 80, Protocol: discovery.TCP}}, Export: &discovery.Export{},
		Endpoints: map[uint16][]discovery.Endpoint{},
	}
	for i := range endpoints {
		s.Endpoints[80] = append(s.Endpoints[80], discovery.Endpoint{Address: at(i).endpoint, Ready: true})
	}
	l.catalog.SetLocal(discovery.Local{
		Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{s.Name: s}),
		Policies: hashtrie.Of(map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec{s.Name: {HealthCheck: check}}),
	})
}

// health is + for each healthy endpoint, - for each that is not.
func (l *lab) health() (text string) {
	for _, e := range l.catalog.Snapshot().Services.Get(shop(0)).Endpoints[80] {
		if e.Unhealthy == "" {
			text += "+"
		} else {
			text += "-"
		}
	}
	return text
}

func (l *lab) expect(want string) {
	l.t.Helper()
	if got := l.health(); got != want {
		l.t.Errorf("%s, want %s", got, want)
	}
}

// quick is the check of drill D5: a failure counts at once.
func quick() *v1alpha1.HealthCheck {
	one := uint32(1)
	second := &metav1.Duration{Duration: time.Second}
	return &v1alpha1.HealthCheck{TCP: &v1alpha1.TCPHealthCheck{}, Interval: second, Timeout: second, UnhealthyThreshold: &one, HealthyThreshold: &one}
}

// An endpoint whose pod is gone is unhealthy within the interval and the timeout, and healthy again within the interval.
func TestGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		within time.Duration
		reason string
	}{
		"refused": {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, time.Second, "connect: connection refused"},
		"silent":  {errGone, 2 * time.Second, "connect: no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.set(2, quick())
				bubble.Pass(10*time.Second + time.Millisecond)
				l.expect("++")
				l.fail(0, c.err)
				bubble.Pass(c.within + gather)
				l.expect("-+")
				if got := l.catalog.Snapshot().Services.Get(shop(0)).Endpoints[80][0].Unhealthy; got != c.reason {
					t.Errorf("the reason is %q, want %q", got, c.reason)
				}
				l.fail(0, nil)
				bubble.Pass(c.within + gather)
				l.expect("++")
			})
		})
	}
}

// Policies and endpoints change while checks run: what stays keeps its state, what goes takes it along.
func TestChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.set(3, nil)
		bubble.Pass(time.Minute)
		if n, _ := l.counts(); n > 0 {
			t.Errorf("%d checks without a policy", n)
		}
		l.fail(0, syscall.ECONNREFUSED)
		l.fail(1, errGone)
		l.set(3, quick())
		bubble.Pass(gather)
		l.expect("-++")
		bubble.Pass(time.Second)
		l.expect("--+")
		l.set(4, quick())
		l.expect("--++") // also before the checker has seen the change
		bubble.Pass(gather)
		l.expect("--++")

		slower := quick()
		slower.Interval = &metav1.Duration{Duration: time.Minute}
		l.set(4, slower)
		bubble.Pass(gather)
		l.expect("--++")

		l.set(1, slower)
		bubble.Pass(gather)
		l.set(4, slower)
		bubble.Pass(gather)
		l.expect("-+++") // the second is new, and its first check has not ended

		series := func() int {
			return testutil.CollectAndCount(l.metrics, "eastway_health_checks_total", "eastway_health_failing_endpoints")
		}
		if n := series(); n != 3 {
			t.Errorf("%d series, want 3", n)
		}
		l.set(4, nil)
		bubble.Pass(gather)
		l.expect("++++")
		bubble.Pass(time.Hour)
		l.expect("++++")
		if n := series(); n != 0 {
			t.Errorf("%d series of a service without checks", n)
		}
	})
}

// Many endpoints that fail at once change the catalog once, and the log has some of them.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		const n = maxPerService // all are checked together
		for i := range n {
			l.fail(i, syscall.ECONNREFUSED)
		}
		l.set(n, quick())
		bubble.Pass(gather)
		l.expect(strings.Repeat("-", n))
		if r := l.catalog.Snapshot().Revision; r != 2 {
			t.Errorf("the catalog is at revision %d, want 2", r)
		}
		if lines := l.logs.FilterMessage("endpoint fails its health check").Len(); lines != logBurst {
			t.Errorf("%d lines, want %d", lines, logBurst)
		}
		want := fmt.Sprintf(`# HELP eastway_health_failing_endpoints Endpoints of the own cluster that fail their active health check.
# TYPE eastway_health_failing_endpoints gauge
eastway_health_failing_endpoints{service="shops/0"} %d
`, n)
		if err := testutil.GatherAndCompare(l.metrics, strings.NewReader(want), "eastway_health_failing_endpoints"); err != nil {
			t.Error(err)
		}
		bubble.Pass(time.Minute)
		l.fail(0, nil)
		bubble.Pass(time.Second + gather)
		again := l.logs.FilterMessage("endpoint passes its health check again").All()
		if len(again) != 1 || again[0].ContextMap()["unlogged"] != int64(n-logBurst) {
			t.Errorf("lines: %v", again)
		}
	})
}

// A check that this process is too short for means nothing; passed ones are reported, but not those of an endpoint that fails.
func TestPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		check := quick()
		three := uint32(3)
		check.HealthyThreshold = &three
		l.fail(0, fmt.Errorf("%w: %w", errShort, syscall.EMFILE))
		l.set(1, check)
		bubble.Pass(gather)
		l.expect("+")
		l.fail(0, syscall.ECONNREFUSED)
		bubble.Pass(time.Second + gather)
		l.expect("-")
		l.fail(0, nil)
		bubble.Pass(2 * time.Second)
		if _, passed := l.counts(); passed > 0 {
			t.Error("a passed check of an endpoint that fails was reported")
		}
		bubble.Pass(time.Second)
		l.expect("+")
		if _, passed := l.counts(); passed != 1 {
			t.Errorf("%d passed checks reported, want 1", passed)
		}
		want := `# HELP eastway_health_checks_total Active health checks of endpoints of the own cluster.
# TYPE eastway_health_checks_total counter
eastway_health_checks_total{kind="tcp",result="failed",service="shops/0"} 1
eastway_health_checks_total{kind="tcp",result="inconclusive",service="shops/0"} 1
eastway_health_checks_total{kind="tcp",result="passed",service="shops/0"} 3
`
		if err := testutil.GatherAndCompare(l.metrics, strings.NewReader(want), "eastway_health_checks_total"); err != nil {
			t.Error(err)
		}
	})
}
