package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/atomicfile"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// snapshotMode keeps other users from reading and, more important, from writing what this process trusts.
const snapshotMode = 0o600

// keeper saves what the tables hold, and brings it back. Each kind has a file of its own: what changes often does not have the
// rest written with it, and what is damaged does not take the rest with it.
type keeper struct {
	dir     string // empty: nothing is kept
	header  header
	tables  []*table
	log     *zap.Logger
	metrics *metrics
	wake    notify.Signal
	failed  map[string]error // by resource; used under the tables' mutex
}

func (k *keeper) path(t *table) string { return filepath.Join(k.dir, "kube-"+t.name+".snapshot") }

func (k *keeper) headerOf(t *table) header {
	h := k.header
	h.Resource = t.name
	return h
}

// load brings back what was saved. A file that cannot be used is as good as none.
func (k *keeper) load() {
	if k.dir == "" {
		return
	}
	for _, t := range k.tables {
		switch err := k.loadOne(t); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		default:
			k.log.Warn("a snapshot is not used: what it holds is not known until the API server answers",
				zap.String("file", k.path(t)), zap.Error(err))
		}
	}
}

func (k *keeper) loadOne(t *table) error {
	f, err := os.Open(k.path(t))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var objects []metav1.Object
	saved, err := decodeSnapshot(f, k.headerOf(t), t.empty, func(o metav1.Object) { objects = append(objects, o) })
	if err != nil {
		return err
	}
	if bad := t.restore(objects, saved); bad > 0 {
		k.log.Warn("some objects of a snapshot are not used: this version finds fault with them",
			zap.String("file", k.path(t)), zap.Int("objects", bad))
	}
	k.log.Info("a snapshot is used until the API server answers", zap.String("resource", t.name),
		zap.Int("objects", len(objects)), zap.Time("saved", saved))
	return nil
}

// run saves what changes, until ctx ends.
func (k *keeper) run(ctx context.Context) {
	if k.dir == "" {
		return
	}
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-retry:
		}
		began := time.Now()
		retry = nil
		if !k.save() {
			retry = time.After(saveRetry)
		}
		if !pace.Sleep(ctx, restAfter(time.Since(began))) {
			return
		}
	}
}

// restAfter is how long to wait after a saving that took so long.
func restAfter(took time.Duration) time.Duration {
	return max(saveInterval, pace.Rest(took, saveShare, saveRetry))
}

// save writes the kinds whose file is not up to date; false: not all of them.
func (k *keeper) save() (complete bool) {
	complete = true
	if k.dir == "" {
		return complete
	}
	for _, t := range k.tables {
		objects := t.forSaving()
		if objects == nil {
			continue
		}
		err := k.write(t, objects)
		k.metrics.writes.WithLabelValues(resultOf(err)).Inc()
		t.mu.Lock()
		if err != nil {
			complete, t.unsaved = false, true
			k.failed[t.name] = err
		} else {
			delete(k.failed, t.name)
		}
		t.mu.Unlock()
	}
	return complete
}

func (k *keeper) write(t *table, objects []metav1.Object) error {
	h := k.headerOf(t)
	h.Saved = time.Now().UTC().Truncate(time.Second)
	data, err := encodeSnapshot(h, objects)
	if err != nil {
		return fmt.Errorf("write %s: %w", k.path(t), err)
	}
	return atomicfile.Write(k.path(t), data, snapshotMode)
}

// problems of writing, as of now. The tables' mutex is held.
func (k *keeper) problems() []Problem {
	var problems []Problem
	for _, t := range k.tables {
		if err := k.failed[t.name]; err != nil {
			problems = append(problems, Problem{Kind: t.kind, Warning: true, Message: fmt.Sprintf(
				"the snapshot for outages of the API server is not up to date: %v", err)})
		}
	}
	return problems
}

// forSaving are all objects, sorted, if there is anything to save; nil if not.
func (t *table) forSaving() []metav1.Object {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.unsaved {
		return nil
	}
	t.unsaved = false
	objects := make([]metav1.Object, 0, len(t.objects))
	for _, o := range t.objects {
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(a, b metav1.Object) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return objects
}
