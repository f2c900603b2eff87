package kube

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/eastway/eastway/internal/pace"
)

// feed follows one kind and keeps its table up to date. client-go's reflector lists, watches and recovers from expired
// watches; retries and reporting are decided here.
type feed struct {
	*table
	client  *client
	metrics *metrics

	// lists is held for reading by each list: the reflector does not wait for the one that it gave up.
	lists sync.RWMutex
	ended bool

	mu      sync.Mutex
	version int // of resource.versions, the one in use
	failure *failure
}

// failure is why a request to the API server failed.
type failure struct {
	verb  string // list or watch
	err   error
	since time.Time
}

// lists are complete before anything of them counts. The reflector would stream the first list as events of a watch (WatchList), where API servers
// can, and then list sees neither what is there nor why nothing is.
type lists struct{ cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector looks for.
func (lists) IsWatchListSemanticsUnSupported() bool { return true }

// run follows the kind until ctx ends.
func (f *feed) run(ctx context.Context) {
	defer f.end()
	// The reflector's own messages are in klog's format, and say less.
	ctx = klog.NewContext(ctx, logr.Discard())
	lw := &lists{cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}}
	r := cache.NewReflectorWithOptions(lw, nil, f.table, cache.ReflectorOptions{Name: f.name, TypeDescription: f.kind})
	for failures := 1; ctx.Err() == nil; failures++ {
		began := time.Now()
		err := r.ListAndWatchWithContext(ctx)
		if time.Since(began) > backoffReset {
			failures = 1
		}
		pace.Sleep(ctx, jittered(backoff(failures, err)))
	}
}

// end waits for the last list.
func (f *feed) end() {
	f.lists.Lock()
	defer f.lists.Unlock()
	f.ended = true
}

func (f *feed) list(ctx context.Context, opts metav1.ListOptions) (list runtime.Object, err error) {
	f.lists.RLock()
	defer f.lists.RUnlock()
	if f.ended {
		return nil, context.Canceled
	}
	for range f.versions {
		list, err = f.client.list(ctx, f.resource, f.inUse(), opts)
		if !apierrors.IsNotFound(err) {
			break
		}
		f.tryNext()
	}
	if err == nil {
		_, err = apimeta.ListAccessor(list) // or the answer of something that is no API server
	}
	f.metrics.lists.WithLabelValues(f.name, resultOf(err)).Inc()
	if err != nil {
		f.fail(ctx, "list", err)
		return nil, err
	}
	f.succeed()
	return list, nil
}

// watch opens a watch. While connections are refused it waits here: the reflector would do so for up to a minute, and
// after an outage the state of the API server is needed sooner.
func (f *feed) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	for failures := 1; ; failures++ {
		w, err := f.client.watch(ctx, f.resource, f.inUse(), opts)
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

// inUse is the version of the API in use.
func (f *feed) inUse() schema.GroupVersion {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.versions[f.version]
}

// tryNext turns to another version, since this one is not served.
func (f *feed) tryNext() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = (f.version + 1) % len(f.versions)
}

func (f *feed) fail(ctx context.Context, verb string, err error) {
	// Watches expire as a matter of course; the list that follows shows whether there is a problem.
	if ctx.Err() != nil || apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
		return
	}
	f.mu.Lock()
	since := time.Now()
	if f.failure != nil {
		since = f.failure.since
	}
	f.failure = &failure{verb: verb, err: err, since: since}
	f.mu.Unlock()
	f.markUnreachable()
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

// failing is why the kind is not followed at present; nil when it is.
func (f *feed) failing() *failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// backoff is the wait after so many failures in a row, the last of which was err; nil: a watch that ended for no reason.
func backoff(failures int, err error) time.Duration {
	if absent(err) {
		return maxBackoff
	}
	return pace.Backoff(failures, minBackoff, maxBackoff)
}

// jittered adds up to a fifth, so that proxies do not come all at once.
func jittered(d time.Duration) time.Duration {
	return pace.Spread(d, 1, 1.2, rand.Float64())
}

// absent are errors that stay until a person does something.
func absent(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// reason is the text of the error, cut.
func reason(err error) string {
	var status apierrors.APIStatus
	text := err.Error()
	if errors.As(err, &status) && status.Status().Message != "" {
		text = status.Status().Message
	}
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
