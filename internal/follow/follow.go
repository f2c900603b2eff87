package follow

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/eastway/eastway/internal/pace"
)

const (
	// minBackoff and maxBackoff are the waits between two attempts, before jitter: after an outage a cluster's few processes are back within
	// seconds. What a person must do first (install a definition, grant a right) has the longer one from the start.
	minBackoff = 500 * time.Millisecond
	maxBackoff = 5 * time.Second
	// backoffReset is how long listing and watching must have gone well for the next wait to be the shortest again.
	backoffReset = 30 * time.Second
)

// Config of a Feed. All fields but Listed are needed.
type Config struct {
	Name, Kind string // in URLs, and as people write it
	Store      cache.ReflectorStore
	// Versions is how many versions of the API List and Watch can ask for, counted from 0: the first one that is served is used.
	Versions int
	List     func(ctx context.Context, version int, opts metav1.ListOptions) (runtime.Object, error)
	Watch    func(ctx context.Context, version int, opts metav1.ListOptions) (watch.Interface, error)
	// Failed is called when a request failed: news is true if it did not fail in the same way before. Mended is called when one succeeds again.
	Failed func(news bool)
	Mended func()
	// Listed is called with the result of each list.
	Listed func(error)
}

// Feed follows one kind.
type Feed struct {
	cfg Config

	// lists is held for reading by each list: the reflector does not wait for one that it gave up.
	lists sync.RWMutex
	ended bool

	mu      sync.Mutex
	version int // the one in use
	failure *Failure
}

// New makes a Feed; Run follows.
func New(cfg Config) *Feed { return &Feed{cfg: cfg} }

// complete lists are complete before anything of them counts. The reflector would stream the first list as events of a watch (WatchList), where
// API servers can, and then list sees neither what is there nor why nothing is.
type complete struct{ cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector looks for.
func (complete) IsWatchListSemanticsUnSupported() bool { return true }

// Run follows until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	defer f.end()
	ctx = klog.NewContext(ctx, logr.Discard()) // the reflector's own messages are in klog's format, and say less
	lw := &complete{cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}}
	r := cache.NewReflectorWithOptions(lw, nil, f.cfg.Store, cache.ReflectorOptions{Name: f.cfg.Name, TypeDescription: f.cfg.Kind})
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.ListAndWatchWithContext(ctx)
		if time.Since(began) > backoffReset {
			failures = 1
		}
		pace.Sleep(ctx, jittered(backoff(failures, err)))
	}
}

// Failure is why the kind is not followed at present; nil when it is. What it points to does not change.
func (f *Feed) Failure() *Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// end waits for the last list.
func (f *Feed) end() {
	f.lists.Lock()
	defer f.lists.Unlock()
	f.ended = true
}

func (f *Feed) list(ctx context.Context, opts metav1.ListOptions) (list runtime.Object, err error) {
	f.lists.RLock()
	defer f.lists.RUnlock()
	if f.ended {
		return nil, context.Canceled
	}
	for range f.cfg.Versions {
		list, err = f.cfg.List(ctx, f.inUse(), opts)
		if !apierrors.IsNotFound(err) {
			break
		}
		f.tryNext()
	}
	if err == nil {
		_, err = apimeta.ListAccessor(list) // or the answer of something that is no API server
	}
	if f.cfg.Listed != nil {
		f.cfg.Listed(err)
	}
	if err != nil {
		f.fail(ctx, "list", err)
		return nil, err
	}
	f.succeed()
	return list, nil
}

// watch opens a watch. While connections are refused it waits here: the reflector would do so for up to a minute, and after an outage what has
// changed is needed sooner.
func (f *Feed) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	for failures := 1; ; failures++ {
		w, err := f.cfg.Watch(ctx, f.inUse(), opts)
		if err == nil {
			f.succeed()
			return w, nil
		}
		f.fail(ctx, "watch", err)
		if !utilnet.IsConnectionRefused(err) && !apierrors.IsTooManyRequests(err) {
			return nil, err
		}
		if !pace.Sleep(ctx, jittered(backoff(failures, err))) {
			return nil, ctx.Err()
		}
	}
}

func (f *Feed) inUse() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.version
}

// tryNext turns to another version, since this one is not served.
func (f *Feed) tryNext() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = (f.version + 1) % f.cfg.Versions
}

func (f *Feed) fail(ctx context.Context, verb string, err error) {
	// Watches expire as a matter of course; the list that follows shows whether there is a problem.
	if ctx.Err() != nil || apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
		return
	}
	f.mu.Lock()
	was := f.failure
	f.failure = next(was, &Failure{Verb: verb, Err: err, Since: time.Now()})
	news := f.failure != was
	f.mu.Unlock()
	f.cfg.Failed(news)
}

func (f *Feed) succeed() {
	f.mu.Lock()
	was := f.failure
	f.failure = nil
	f.mu.Unlock()
	if was != nil {
		f.cfg.Mended()
	}
}

// backoff is the wait after so many failures in a row, the last of which was err; nil: a watch that ended for no reason.
func backoff(failures int, err error) time.Duration {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return maxBackoff
	}
	return pace.Backoff(failures, minBackoff, maxBackoff)
}

// jittered adds up to a fifth, so that processes do not come all at once.
func jittered(d time.Duration) time.Duration { return pace.Spread(d, 1, 1.2, rand.Float64()) }
