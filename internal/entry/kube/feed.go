package kube

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/eastway/eastway/internal/pace"
)

// feed follows one kind, or one Secret, and keeps its table up to date. client-go's reflector lists, watches and recovers from expired
// watches; retries are paced here.
type feed struct {
	*table

	client dynamic.Interface

	// lists is held for reading by each list: the reflector does not wait for one that it gave up.
	lists sync.RWMutex
	ended bool

	version int      // of resource.versions, the one in use; guarded by table.mu
	failure *failure // guarded by table.mu
}

// failure is why a request to the API server failed.
type failure struct {
	verb  string // list or watch
	err   error
	since time.Time
}

// listed lists before it watches: with streamed lists, nothing here would see why one fails.
type listed struct{ cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector looks for.
func (listed) IsWatchListSemanticsUnSupported() bool { return true }

// run follows until ctx ends.
func (f *feed) run(ctx context.Context) {
	defer f.end()
	ctx = klog.NewContext(ctx, logr.Discard()) // the reflector's own messages say less
	lw := &listed{cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}}
	r := cache.NewReflectorWithOptions(lw, nil, f.table, cache.ReflectorOptions{Name: f.name, TypeDescription: f.kind})
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.ListAndWatchWithContext(ctx)
		if time.Since(began) > backoffReset {
			failures = 1
		}
		pace.Sleep(ctx, pace.Spread(backoff(failures, err), 1, 1.2, rand.Float64()))
	}
}

// backoff is the wait after so many failures in a row, the last of which was err; nil: a watch that ended for no reason.
func backoff(failures int, err error) time.Duration {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return maxBackoff
	}
	return pace.Backoff(failures, minBackoff, maxBackoff)
}

// end waits for the last list.
func (f *feed) end() {
	f.lists.Lock()
	defer f.lists.Unlock()
	f.ended = true
}

func (f *feed) list(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	f.lists.RLock()
	defer f.lists.RUnlock()
	if f.ended {
		return nil, context.Canceled
	}
	var err error
	for range f.versions {
		list, failed := f.at().List(ctx, f.narrowed(opts))
		if failed == nil {
			f.succeed()
			return list, nil
		}
		if err = failed; !apierrors.IsNotFound(err) {
			break
		}
		f.tryNext()
	}
	f.fail(ctx, "list", err)
	return nil, err
}

// watch opens a watch. While connections are refused it waits here: the reflector would do so for up to a minute, and after an outage what has
// changed is needed sooner.
func (f *feed) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	for failures := 1; ; failures++ {
		w, err := f.at().Watch(ctx, f.narrowed(opts))
		if err == nil {
			f.succeed()
			return w, nil
		}
		f.fail(ctx, "watch", err)
		if !utilnet.IsConnectionRefused(err) && !apierrors.IsTooManyRequests(err) {
			return nil, err
		}
		if !pace.Sleep(ctx, pace.Spread(backoff(failures, err), 1, 1.2, rand.Float64())) {
			return nil, ctx.Err()
		}
	}
}

func (f *feed) narrowed(opts metav1.ListOptions) metav1.ListOptions {
	opts.LabelSelector, opts.FieldSelector = f.labels, f.fields
	return opts
}

// at is the resource in the version in use.
func (f *feed) at() dynamic.ResourceInterface {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.client.Resource(f.versions[f.version].WithResource(f.name))
	if f.namespace == "" {
		return r
	}
	return r.Namespace(f.namespace)
}

// tryNext turns to another version, since this one is not served.
func (f *feed) tryNext() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = (f.version + 1) % len(f.versions)
}

// fail notes why a request failed. Of failures of one kind the first one stays: later ones may name another local port each.
func (f *feed) fail(ctx context.Context, verb string, err error) {
	// Watches expire as a matter of course; the list that follows shows whether there is a problem.
	if ctx.Err() != nil || apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
		return
	}
	f.mu.Lock()
	was := f.failure
	same := was != nil && was.verb == verb && apierrors.ReasonForError(was.err) == apierrors.ReasonForError(err)
	if !same {
		f.failure = &failure{verb: verb, err: err, since: time.Now()}
		if was != nil && was.away() && f.failure.away() {
			f.failure.since = was.since
		}
	}
	f.mu.Unlock()
	if !same {
		f.wake()
	}
}

func (f *feed) succeed() {
	f.mu.Lock()
	was := f.failure
	f.failure = nil
	f.mu.Unlock()
	if was != nil {
		f.wake()
	}
}

// settled is true when it is known what there is, or that it cannot be known for now for a reason that is the kind's own. f.mu is held.
func (f *feed) settled() bool { return f.synced || f.failure != nil && !f.failure.away() }
