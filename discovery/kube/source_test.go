package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/discovery"
)

// patience is how long a test waits for what should come soon.
const patience = time.Minute

// recorder is a sink that remembers everything.
type recorder struct {
	mu      sync.Mutex
	updates [][]string
	more    chan struct{}
}

func (r *recorder) SetLocal(l discovery.Local) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.updates = append(r.updates, describe(l))
	close(r.more)
	r.more = make(chan struct{})
}

// all updates so far.
func (r *recorder) all() ([][]string, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.updates), r.more
}

// running is a Source that runs.
type running struct {
	*Source
	*recorder
	t    *testing.T
	reg  *prometheus.Registry
	stop func()
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	cfg.Registerer = reg
	r := &running{recorder: &recorder{more: make(chan struct{})}, t: t, reg: reg}
	var err error
	r.Source, err = New(cfg, r.recorder)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (a *apiServer) source(dir string) Config {
	cfg := testConfig()
	cfg.REST, cfg.SnapshotDir = a.config(), dir
	return cfg
}

// until waits for the last update to be good.
func (r *running) until(what string, good func(last []string) bool) {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		updates, more := r.all()
		if len(updates) > 0 && good(updates[len(updates)-1]) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			last := slices.Concat(updates[max(0, len(updates)-1):]...)
			r.t.Fatalf("there is no update %s:\n%s\nproblems %v", what, strings.Join(last, "\n"), r.Errors())
		}
	}
}

func has(line string) func([]string) bool {
	return func(lines []string) bool { return len(about(lines, line)) > 0 }
}

// eventually polls what is not signaled.
func eventually(t *testing.T, what string, good func() error) {
	t.Helper()
	timeout := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := good()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// synced waits until the source has flushed: a moment after the sink was set.
func (r *running) synced() {
	r.t.Helper()
	eventually(r.t, "the source is synced", func() error {
		if !r.hasFlushed() {
			return errors.New("the sink is set, but the source has not flushed")
		}
		return nil
	})
}

// complains waits for a problem that begins so; "" waits for none.
func (r *running) complains(text string) {
	r.t.Helper()
	eventually(r.t, "problems", func() error {
		problems := r.Errors()
		if text == "" && len(problems) == 0 {
			return nil
		}
		if slices.ContainsFunc(problems, func(p Problem) bool { return strings.HasPrefix(p.String(), text) && text != "" }) {
			return nil
		}
		return fmt.Errorf("%v, want %q", problems, text)
	})
}

const (
	shopReady = "endpoint default/shop:80 10.1.1.5:8080 north/n-1"
	exported  = "service default/shop http:80/TCP/http dns:53/UDP at [10.96.0.10 fd96::10] exported"
)

func TestFollows(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport, peerYAML("b", 1), policyYAML("p", "shop", 1, 1)))
	r := start(t, api.source(""))
	at, err := r.WaitLocality(t.Context())
	if err != nil || at.String() != "north/n-1" {
		t.Errorf("locality %s, %v", at, err)
	}
	r.until("of what is there", has(exported))
	updates, _ := r.all()
	if len(about(updates[0], "service", "endpoint", "peer", "policy")) != 5 {
		t.Errorf("the update came in pieces: first %q", updates[0])
	}
	r.synced()
	api.apply(strings.ReplaceAll(shopSlice, "10.1.1.5", "10.1.1.6"))
	r.until("of another endpoint", has("endpoint default/shop:80 10.1.1.6:8080"))
	api.remove(join(shopExport, peerYAML("b", 1)))
	r.until("that the export and the peer are gone", func(lines []string) bool {
		return len(about(lines, "service", "peer")) == 0
	})
	r.complains("")
	for _, m := range []string{"synced", "objects"} {
		if n, err := testutil.GatherAndCount(r.reg, "eastway_discovery_kube_"+m); n != 7 || err != nil {
			t.Errorf("%d of metric %s, %v", n, m, err)
		}
	}
	if got := testutil.ToFloat64(r.metrics.synced.WithLabelValues("peers")); got != 1 {
		t.Errorf("synced is %v", got)
	}
}

// A watch that expires, or ends, loses nothing: what is known stays until the new list is there.
func TestRelistLosesNothing(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport))
	r := start(t, api.source(""))
	r.until("of what is there", has(shopReady))
	release := api.hold()
	before := api.listed("endpointslices")
	api.compact()
	api.apply(strings.ReplaceAll(shopSlice, "10.1.2.5", "10.1.2.6")) // no watch will see this event
	api.compact()
	api.endWatches()
	r.complains("") // an expired watch is no problem
	release()
	r.until("of the change that no watch reported", has("endpoint default/shop:80 10.1.2.6"))
	if api.listed("endpointslices") == before {
		t.Error("nothing was listed again: the test tests nothing")
	}
	api.endWatches()
	api.apply(strings.ReplaceAll(shopSlice, "10.1.2.5", "10.1.2.7"))
	r.until("of a change after the watches ended", has("endpoint default/shop:80 10.1.2.7"))
	updates, _ := r.all()
	for _, lines := range updates {
		if !has(shopReady)(lines) || !has(exported)(lines) {
			t.Errorf("an update in between: %q", lines)
		}
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport))
	r := start(t, api.source(""))
	r.until("of what is there", has(shopReady))
	r.since("away_seconds", false)
	api.stop()
	r.complains("Kubernetes API: the API server cannot be reached since ")
	r.since("away_seconds", true)
	r.ages(false)
	if problems := r.Errors(); len(problems) != 1 {
		t.Errorf("one outage makes %d problems: %v", len(problems), problems)
	}
	api.apply(strings.ReplaceAll(shopSlice, "10.1.2.5", "10.1.2.6"))
	api.start()
	r.until("of what happened meanwhile", has("endpoint default/shop:80 10.1.2.6"))
	r.complains("")
	r.since("away_seconds", false)
	updates, _ := r.all()
	for _, lines := range updates {
		if !has(shopReady)(lines) {
			t.Errorf("an update in between: %q", lines)
		}
	}
}

// What is missing or forbidden does not hold up the rest, and is noticed when it comes.
func TestMissingAndForbidden(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport, peerYAML("b", 1), policyYAML("p", "shop", 1, 1)))
	api.answer("peers", http.StatusNotFound)
	api.answer("trafficpolicies", http.StatusForbidden)
	api.answer("/apis/multicluster.x-k8s.io/v1beta1/serviceexports", http.StatusNotFound) // an older CRD
	r := start(t, api.source(""))
	r.until("of the rest", has(exported))
	r.complains("Peer: the API server does not know peers.eastway.dev: install the CustomResourceDefinitions")
	r.complains("TrafficPolicy: the API server does not allow to list trafficpolicies.eastway.dev: allow the proxy's service account")
	if n := len(r.Errors()); n != 2 {
		t.Errorf("problems %v", r.Errors())
	}
	eventually(t, "the problems to be counted", func() error {
		if got := testutil.ToFloat64(r.metrics.problems); got != 2 {
			return fmt.Errorf("%v are", got)
		}
		return nil
	})
	api.answer("peers", 0)
	api.answer("trafficpolicies", 0)
	r.until("of the peer", has("peer b"))
	r.until("of the policy", has("policy default/shop"))
	r.complains("")
}

// Without Nodes there is no update, and a problem names the reason.
func TestCoreKindsAreNeeded(t *testing.T) {
	t.Parallel()
	api := startAPIServer(t)
	api.apply(join(nodesYAML, shopYAML, shopSlice, shopExport))
	api.answer("nodes", http.StatusForbidden)
	r := start(t, api.source(""))
	r.complains("Node: the API server does not allow to list nodes: ")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.WaitLocality(ctx); err == nil || !strings.Contains(err.Error(), "does not allow to list nodes") {
		t.Errorf("waiting for the locality: %v", err)
	}
	eventually(t, "slices are there", func() error {
		r.Source.mu.Lock()
		defer r.Source.mu.Unlock()
		if len(r.world.slices) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	if updates, _ := r.all(); len(updates) > 0 || r.hasFlushed() {
		t.Errorf("updates: %q", updates)
	}
}

func (s *Source) hasFlushed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed
}
