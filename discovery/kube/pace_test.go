package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/follow"
)

// timed is a sink that records when it got updates.
type timed struct {
	began time.Time
	at    []time.Duration
}

func (s *timed) SetLocal(discovery.Local) { s.at = append(s.at, time.Since(s.began)) }

// followed runs l.follow with a sink of its own while during does.
func followed(t *testing.T, during func(l *lab)) []time.Duration {
	t.Helper()
	l := newLab(t, testConfig())
	sink := &timed{began: time.Now()}
	l.sink = sink
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.follow(ctx) }()
	during(l)
	cancel()
	<-ended
	return sink.at
}

// list gives tables of the lab their first list, which is empty.
func (l *lab) list(all bool) {
	for _, t := range l.tables {
		if t.core || all {
			must(l.t.(*testing.T), t.Replace(nil, "1"))
		}
	}
}

// Events are passed on together, when no more come; if they never stop, after a maximum time.
func TestDebounce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := followed(t, func(l *lab) {
			l.list(true)
			for i := range 100 { // 2 s
				l.apply(strings.ReplaceAll(shopYAML, "shop", fmt.Sprintf("s%d", i)))
				bubble.Pass(20 * time.Millisecond)
			}
			bubble.Pass(time.Minute)
		})
		if len(at) < 4 || len(at) > 6 {
			t.Errorf("updates at %v", at)
		}
		last := time.Duration(0)
		for _, moment := range at {
			if moment-last > maxDebounce+debounce {
				t.Errorf("no update between %v and %v", last, moment)
			}
			last = moment
		}
	})
}

// A kind that does not answer at all is waited for, but not for long.
func TestGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := followed(t, func(l *lab) {
			bubble.Pass(time.Minute)
			l.list(false)
			bubble.Pass(time.Minute)
		})
		if want := time.Minute + debounce + settleGrace; len(at) != 1 || at[0] != want {
			t.Errorf("updates at %v, want %v", at, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		at := followed(t, func(l *lab) {
			l.list(false)
			for _, table := range l.tables {
				table.markUnreachable()
			}
			bubble.Pass(time.Minute)
		})
		if len(at) != 1 || at[0] != debounce {
			t.Errorf("when the other kinds have failed the update is at %v", at)
		}
	})
}

// The longer saving takes, the longer nothing is saved, but not for ever.
func TestRestAfter(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0: saveInterval, time.Millisecond: saveInterval, 100 * time.Millisecond: 5 * time.Second, 10 * time.Second: saveRetry,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("after %v it rests for %v instead of %v", took, got, want)
		}
	}
}

// The snapshot is written seldom, and in the end holds everything.
func TestSnapshotPace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.SnapshotDir = filepath.Join(dir, "state")
		l := newLab(t, cfg)
		l.list(true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.keeper.run(ctx) }()
		for i := range 1000 { // 10 s
			l.apply(strings.ReplaceAll(shopYAML, "shop", fmt.Sprintf("s%d", i)))
			bubble.Pass(10 * time.Millisecond)
		}
		synctest.Wait()
		if got := testutil.ToFloat64(l.metrics.writes.WithLabelValues(resultOK)); got < 7+4 || got > 7+5 {
			t.Errorf("%v writings in 10 s", got) // seven files at first, then only that of the Services
		}

		// A failed write is reported, tried again, and repaired.
		must(t, os.RemoveAll(cfg.SnapshotDir))
		l.apply(shopYAML)
		bubble.Pass(time.Minute)
		if got := l.problems(); len(got) != 1 || !strings.HasPrefix(got[0], "Service: warning: the snapshot for outages") {
			t.Errorf("problems %q", got)
		}
		must(t, os.Mkdir(cfg.SnapshotDir, 0o700))
		bubble.Pass(saveRetry)
		expect(t, "problems, repaired", l.problems())
		cancel()
		<-ended
		again := newLab(t, cfg)
		again.keeper.load()
		if got := len(again.world.services); got != 1001 {
			t.Errorf("%d services were kept", got)
		}
	})
}

// The problem that is reported for each way in which the API server may fail.
func TestFailureWords(t *testing.T) {
	t.Parallel()
	const away = "Kubernetes API: the API server cannot be reached since 2026-01-02T03:04:05Z, what is known stays in use: "
	slices := schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
	for want, err := range map[string]error{
		"EndpointSlice: the API server does not allow to watch endpointslices.discovery.k8s.io: allow the proxy's service account to list and " +
			"watch it in all namespaces, as the chart's ClusterRole does (endpointslices.discovery.k8s.io is forbidden: why)": apierrors.NewForbidden(
			slices, "", errors.New("why")),
		"EndpointSlice: the API server does not know endpointslices.discovery.k8s.io: install the CustomResourceDefinitions that come with the " +
			"chart; it will be noticed": apierrors.NewNotFound(slices, ""),
		"EndpointSlice: the API server cannot watch endpointslices.discovery.k8s.io, what is known stays in use: Internal error " +
			"occurred: why": apierrors.NewInternalError(errors.New("why")),
		"Kubernetes API: the API server does not accept the credentials of this process, what is known stays in use: " +
			"check its service account or kubeconfig (why)": apierrors.NewUnauthorized("why"),
		away + "why":      errors.New("why"),
		away + "starting": apierrors.NewServiceUnavailable("starting"),
	} {
		l := newLab(t, testConfig())
		since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for i, f := range l.feeds {
			if f.kind == kindSlice {
				f.failing = func() *follow.Failure { return &follow.Failure{Verb: "watch", Err: err, Since: since} }
			} else if i == 0 && strings.HasPrefix(want, "Kubernetes API") {
				later := &follow.Failure{Verb: "list", Err: err, Since: since.Add(time.Hour)}
				f.failing = func() *follow.Failure { return later } // the earlier one is reported, once
			}
		}
		expect(t, "problems", l.problems(), want)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, edit := range map[string]func(*Config){
		"":          func(*Config) {},
		"REST":      func(c *Config) { c.REST = nil },
		"Namespace": func(c *Config) { c.Namespace = "" },
		"Cluster":   func(c *Config) { c.Cluster = "Not a label" },
		"NodeName":  func(c *Config) { c.NodeName = "-" },
		"Region":    func(c *Config) { c.Region = "a b" },
	} {
		cfg := testConfig()
		edit(&cfg)
		_, err := New(cfg, nil)
		if field == "" && err != nil || field != "" && (err == nil || !strings.Contains(err.Error(), "Config."+field+":")) {
			t.Errorf("%q: %v", field, err)
		}
	}
	cfg := testConfig()
	cfg.SnapshotDir = filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(cfg.SnapshotDir, nil, 0o600))
	if _, err := New(cfg, nil); err == nil || !strings.Contains(err.Error(), "Config.SnapshotDir: ") {
		t.Errorf("a file as SnapshotDir: %v", err)
	}
	cfg = testConfig()
	cfg.NodeName = ""
	if _, err := newLab(t, cfg).WaitLocality(t.Context()); err == nil {
		t.Error("the locality of no node is known")
	}
}
