package follow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/eastway/eastway/internal/bubble"
)

var (
	missing   = apierrors.NewNotFound(schema.GroupResource{Resource: "peers"}, "")
	forbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "peers"}, "", errors.New("why"))
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	for i, want := range []time.Duration{minBackoff, 2 * minBackoff, 4 * minBackoff, 8 * minBackoff, maxBackoff, maxBackoff} {
		wait := backoff(i+1, errors.New("refused"))
		if wait != want {
			t.Errorf("wait %d is %v, want %v", i, wait, want)
		}
		if d := jittered(wait); d < want || d > want+want/5 {
			t.Errorf("with jitter %v is %v", want, d)
		}
	}
	if wait := backoff(1, missing); wait != maxBackoff {
		t.Errorf("for a missing definition %v", wait)
	}
}

func TestReasonIsCut(t *testing.T) {
	t.Parallel()
	if got := Reason(errors.New(strings.Repeat("x", 10*maxReason))); len(got) != maxReason+len("…") {
		t.Errorf("a reason has %d bytes", len(got))
	}
	if got := Reason(forbidden); got != forbidden.Status().Message {
		t.Errorf("a reason of the API server is %q", got)
	}
}

// The first failure of a kind stays, and an API server is away since its first failure, whatever that was.
func TestNextFailure(t *testing.T) {
	t.Parallel()
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	refused := &Failure{Verb: "watch", Err: errors.New("refused from port 1"), Since: at(1)}
	for name, c := range map[string]struct {
		was, is *Failure
		since   int64
		stays   bool
	}{
		"first":        {is: &Failure{Verb: "list", Err: missing, Since: at(2)}, since: 2},
		"same":         {was: refused, is: &Failure{Verb: "watch", Err: errors.New("refused from port 2"), Since: at(2)}, since: 1, stays: true},
		"away still":   {was: refused, is: &Failure{Verb: "list", Err: errors.New("no route"), Since: at(2)}, since: 1},
		"of the kind":  {was: refused, is: &Failure{Verb: "watch", Err: forbidden, Since: at(2)}, since: 2},
		"another kind": {was: &Failure{Verb: "list", Err: missing, Since: at(1)}, is: &Failure{Verb: "list", Err: forbidden, Since: at(2)}, since: 2},
	} {
		got := next(c.was, c.is)
		if !got.Since.Equal(at(c.since)) || (got == c.was) != c.stays {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// server answers lists with what its functions say.
type server struct {
	mu       sync.Mutex // held while a function is called
	list     func(version int) (runtime.Object, error)
	watch    func() (watch.Interface, error)
	versions []int // that were listed
	news     []bool
	mended   int
	listed   []error
}

func (s *server) feed(store cache.Store) *Feed {
	return New(Config{
		Name: "configmaps", Kind: "ConfigMap", Versions: 2,
		Store: store,
		List: func(_ context.Context, version int, _ metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.versions = append(s.versions, version)
			return s.list(version)
		},
		Watch: func(context.Context, int, metav1.ListOptions) (watch.Interface, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.watch()
		},
		Failed: func(news bool) { s.news = append(s.news, news) },
		Mended: func() { s.mended++ },
		Listed: func(err error) { s.listed = append(s.listed, err) },
	})
}

func found(names ...string) *corev1.ConfigMapList {
	list := &corev1.ConfigMapList{}
	for _, name := range names {
		list.Items = append(list.Items, corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}})
	}
	return list
}

// following runs a Feed of s while check does.
func following(t *testing.T, s *server, check func(*Feed, cache.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := cache.NewStore(cache.MetaNamespaceKeyFunc)
		f := s.feed(store)
		ended := make(chan struct{})
		go func() { defer close(ended); f.Run(ctx) }()
		synctest.Wait()
		check(f, store)
		cancel()
		<-ended
	})
}

// The version that the API server has is found, and stays.
func TestVersionThatIsServed(t *testing.T) {
	t.Parallel()
	s := &server{
		list: func(version int) (runtime.Object, error) {
			if version == 0 {
				return nil, missing
			}
			return found("a"), nil
		},
		watch: func() (watch.Interface, error) { return watch.NewRaceFreeFake(), nil },
	}
	following(t, s, func(f *Feed, store cache.Store) {
		if got := fmt.Sprint(s.versions); got != "[0 1]" || len(store.ListKeys()) != 1 || f.Failure() != nil {
			t.Errorf("versions %s, objects %v, failure %v", got, store.ListKeys(), f.Failure())
		}
	})
}

// What is known stays while the API server is away; a watch that is refused is tried again within seconds, without a list.
func TestAway(t *testing.T) {
	t.Parallel()
	s := &server{list: func(int) (runtime.Object, error) { return found("a"), nil }}
	s.watch = func() (watch.Interface, error) { return nil, syscall.ECONNREFUSED }
	following(t, s, func(f *Feed, store cache.Store) {
		bubble.Pass(time.Minute)
		if why := f.Failure(); why == nil || !why.Away() || why.Verb != "watch" || len(store.ListKeys()) != 1 {
			t.Errorf("failure %v, objects %v", why, store.ListKeys())
		}
		if len(s.news) < 5 || !s.news[0] || s.news[1] || len(s.listed) != 1 {
			t.Errorf("failures %v, %d lists", s.news, len(s.listed))
		}
		s.mu.Lock()
		watched := watch.NewRaceFreeFake()
		s.watch = func() (watch.Interface, error) { return watched, nil }
		s.mu.Unlock()
		bubble.Pass(2 * maxBackoff)
		if f.Failure() != nil || s.mended != 1 {
			t.Errorf("failure %v, mended %d times", f.Failure(), s.mended)
		}
		watched.Add(&found("b").Items[0])
		synctest.Wait()
		if len(store.ListKeys()) != 2 {
			t.Errorf("objects %v", store.ListKeys())
		}
	})
}

// An answer that is no list, of something that is no API server, fails.
func TestNoList(t *testing.T) {
	t.Parallel()
	s := &server{list: func(int) (runtime.Object, error) { return &corev1.ConfigMap{}, nil }}
	following(t, s, func(f *Feed, _ cache.Store) {
		if f.Failure() == nil || s.listed[0] == nil {
			t.Error("it is taken for a list")
		}
	})
}
