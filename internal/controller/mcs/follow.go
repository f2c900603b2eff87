package mcs

import (
	"context"
	"maps"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/discovery"
)

// follow enqueues what changes in the catalog, until ctx ends.
func (r *Reconciler) follow(ctx context.Context, queues <-chan queue) error {
	var q queue
	select {
	case q = <-queues:
	case <-ctx.Done():
		return nil
	}
	tick := time.NewTicker(heardPace)
	defer tick.Stop()
	var last map[discovery.ServiceName]*discovery.Service
	heard := map[string]bool{}
	for {
		changed := r.cfg.Catalog.Changed()
		snapshot := r.cfg.Catalog.Snapshot()
		for name := range differing(last, snapshot.Services) {
			q.Add(reconcile.Request{NamespacedName: objectKey(name)})
		}
		last = snapshot.Services
		if now := r.heard(snapshot); !maps.Equal(heard, now) {
			// What such a peer is remembered for may be outdated.
			heard = now
			r.allImports(ctx, q)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		if !pause(ctx, catalogPace) {
			return nil
		}
	}
}

// heard are the peers that have spoken.
func (r *Reconciler) heard(s *discovery.Snapshot) map[string]bool {
	out := make(map[string]bool, len(s.Peers))
	for name := range s.Peers {
		if r.cfg.Catalog.Heard(name) {
			out[name] = true
		}
	}
	return out
}

// differing names the services that are not the same in both snapshots, in which what did not change is shared.
func differing(was, is map[discovery.ServiceName]*discovery.Service) map[discovery.ServiceName]struct{} {
	out := map[discovery.ServiceName]struct{}{}
	for name, s := range is {
		if was[name] != s {
			out[name] = struct{}{}
		}
	}
	for name := range was {
		if is[name] == nil {
			out[name] = struct{}{}
		}
	}
	return out
}

// pause is false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
