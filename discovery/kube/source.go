package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/internal/atomicfile"
	"github.com/eastway/eastway/internal/notify"
)

// Source follows the API server.
type Source struct {
	cfg     Config
	sink    Sink
	log     *zap.Logger
	metrics *metrics
	client  *client
	feeds   []*feed
	keeper  *keeper
	events  notify.Signal // something may have changed

	mu      sync.Mutex
	tables  []*table
	world   *world
	flushed bool             // the sink has the first state
	moved   notify.Broadcast // when the own node changed
	logged  map[Problem]bool // problems in the log
}

// New returns a Source that sets the state of sink while it runs.
func New(cfg Config, sink Sink) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Source{
		cfg: cfg, sink: sink, log: cfg.Log, events: notify.NewSignal(),
		world: newWorld(&cfg), logged: map[Problem]bool{},
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if cfg.SnapshotDir != "" {
		if err := os.MkdirAll(cfg.SnapshotDir, 0o700); err != nil {
			return nil, fmt.Errorf("kube: Config.SnapshotDir: %w", atomicfile.Explain(err))
		}
	}
	all := resources(cfg.Namespace)
	client, err := newClient(cfg.REST, all)
	if err != nil {
		return nil, err
	}
	s.client = client
	s.metrics = newMetrics(cfg.Registerer, all, s.oldestSnapshot, s.awaySince)
	check := &translate.Checker{Cluster: cfg.Cluster, SPIFFEID: cfg.SPIFFEID, Kubernetes: true, ValidatePeer: cfg.ValidatePeer}
	for _, r := range all {
		t := newTable(r, check, &s.mu, s.change, s.wake)
		s.tables = append(s.tables, t)
		s.feeds = append(s.feeds, newFeed(t, client, s.metrics))
	}
	s.keeper = &keeper{
		dir: cfg.SnapshotDir, header: header{Cluster: cfg.Cluster, Namespace: cfg.Namespace}, tables: s.tables,
		log: s.log, metrics: s.metrics, wake: notify.NewSignal(), failed: map[string]error{},
	}
	return s, nil
}

// Run restores the snapshot and follows the API server until ctx ends, then returns nil: it retries after every failure. The
// sink is set once Services, EndpointSlices and Nodes are known, from the API server or from the snapshot.
func (s *Source) Run(ctx context.Context) error {
	s.keeper.load()
	var wg sync.WaitGroup
	for _, f := range s.feeds {
		wg.Go(func() { f.run(ctx) })
	}
	wg.Go(func() { s.keeper.run(ctx) })
	s.follow(ctx)
	wg.Wait()
	s.keeper.save()
	utilnet.CloseIdleConnectionsFor(s.client.http.Transport)
	return nil
}

// change is called with every object that changed. s.mu is held.
func (s *Source) change(was, is metav1.Object) {
	s.world.change(was, is)
	for _, o := range []metav1.Object{was, is} {
		if n, ok := o.(*corev1.Node); ok && n != nil && n.Name == s.cfg.NodeName {
			s.moved.Notify()
			return
		}
	}
}

func (s *Source) wake() {
	s.events.Notify()
	s.keeper.wake.Notify()
}

// follow updates the sink when it has been quiet for a moment.
func (s *Source) follow(ctx context.Context) {
	var grace, settled <-chan time.Time
	patient := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-grace:
			patient = false
		case <-settled:
			s.mu.Lock()
			s.world.dirtyNodes = true
			s.mu.Unlock()
		case <-s.events:
			if !s.quiet(ctx) {
				return
			}
		}
		if s.flush(patient) == waiting && grace == nil {
			grace = time.After(settleGrace)
		}
		settled = s.settled()
		s.report()
	}
}

// settled fires when the readiness of a returned node's pods counts again; nil if there is no such node.
func (s *Source) settled() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if wait, ok := s.world.settling(); ok {
		return time.After(wait)
	}
	return nil
}

// quiet waits for the end of a burst of events; false means that ctx ended.
func (s *Source) quiet(ctx context.Context) bool {
	limit := time.Now().Add(maxDebounce)
	for {
		still := time.NewTimer(min(debounce, time.Until(limit)))
		select {
		case <-ctx.Done():
			still.Stop()
			return false
		case <-still.C:
			return true
		case <-s.events:
			still.Stop()
			if time.Now().After(limit) {
				return true
			}
		}
	}
}

// outcome of a flush.
type outcome int

const (
	tooEarly outcome = iota // what is needed is not known yet
	waiting                 // for the other kinds
	done
)

// flush updates the sink. The first time it waits for the core kinds, and while it is patient for the others too.
func (s *Source) flush(patient bool) outcome {
	s.mu.Lock()
	if !s.flushed {
		for _, t := range s.tables {
			if t.core && !t.known() {
				s.mu.Unlock()
				return tooEarly
			}
		}
		for _, t := range s.tables {
			if patient && !t.settled() {
				s.mu.Unlock()
				return waiting
			}
		}
	}
	local := s.world.flush()
	s.mu.Unlock()
	s.sink.SetLocal(local)
	s.metrics.updates.Inc()
	s.mu.Lock()
	s.flushed = true
	s.mu.Unlock()
	return done
}

// Locality is where the own node is; false while that node is not known.
func (s *Source) Locality() (discovery.Locality, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.locality()
}

// WaitLocality returns Locality once it is known. Run must be running.
func (s *Source) WaitLocality(ctx context.Context) (discovery.Locality, error) {
	if s.cfg.NodeName == "" {
		return discovery.Locality{}, errors.New("kube: Config.NodeName is empty: the own region and zone are not known")
	}
	for {
		moved := s.moved.Changed()
		at, ok := s.Locality()
		if ok {
			return at, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return discovery.Locality{}, fmt.Errorf("kube: region and zone of node %s are not known: %w", s.cfg.NodeName,
				s.whyNot(kindNode, ctx.Err()))
		}
	}
}

// oldestSnapshot returns when the oldest file that is still in use was saved; zero if none is.
func (s *Source) oldestSnapshot() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest time.Time
	for _, t := range s.tables {
		if !t.synced && !t.restored.IsZero() && (oldest.IsZero() || t.restored.Before(oldest)) {
			oldest = t.restored
		}
	}
	return oldest
}
