package mcs

import (
	"context"
	"maps"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/pace"
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
	var last hashtrie.Map[discovery.ServiceName, *discovery.Service]
	heard := map[string]bool{}
	for {
		changed := r.cfg.Catalog.Changed()
		snapshot := r.cfg.Catalog.Snapshot()
		for name := range hashtrie.Differing(last, snapshot.Services) {
			q.Add(reconcile.Request{NamespacedName: objectKey(name)})
		}
		last = snapshot.Services
		if now := r.heard(snapshot); !maps.Equal(heard, now) {
			// What is remembered of such a peer may be outdated.
			heard = now
			r.allImports(ctx, q)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
		if !pace.Sleep(ctx, catalogPace) {
			return nil
		}
	}
}

// heard are the peers that have connected since this process started.
func (r *Reconciler) heard(s *discovery.Snapshot) map[string]bool {
	out := make(map[string]bool, len(s.Peers))
	for name := range s.Peers {
		if r.cfg.Catalog.Heard(name) {
			out[name] = true
		}
	}
	return out
}
