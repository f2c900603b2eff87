package status

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/entry/route"
)

// server is an API server with one HTTPRoute.
type server struct {
	t      *testing.T
	leases *fake.Clientset
	client *dynamicfake.FakeDynamicClient

	mu      sync.Mutex
	route   Object
	refuse  error // of patches
	lease   error // of writes of the Lease
	patches int
	writers []*Writer
	want    *Wanted
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{
		t: t, leases: fake.NewClientset(), client: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()),
		route: Object{ID: ID{HTTPRoute, named("cart")}, Version: "1", Generation: 1},
	}
	s.client.PrependReactor("patch", "httproutes", s.patch)
	s.leases.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.lease != nil, nil, s.lease
	})
	return s
}

func (s *server) patch(a clienttesting.Action) (bool, runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := a.(clienttesting.PatchAction)
	s.patches++
	if s.refuse != nil {
		return true, nil, s.refuse
	}
	var body struct {
		Metadata metav1.ObjectMeta
		Status   gatewayv1.RouteStatus
	}
	if err := json.Unmarshal(p.GetPatch(), &body); err != nil || p.GetSubresource() != "status" || p.GetPatchType() != types.MergePatchType {
		s.t.Errorf("%v: %s of %s", err, p.GetPatchType(), p.GetSubresource())
	}
	if body.Metadata.ResourceVersion != s.route.Version {
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "httproutes"}, p.GetName(), errors.New("changed"))
	}
	s.route.Parents = body.Status.Parents
	s.bump()
	s.show() // by the watch
	return true, &unstructured.Unstructured{Object: map[string]any{}}, nil
}

func (s *server) bump() {
	n, _ := strconv.Atoi(s.route.Version)
	s.route.Version = strconv.Itoa(n + 1)
}

// change edits what the server has or does.
func (s *server) change(edit func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit()
}

// writer is one that runs until stop.
func (s *server) writer(name string) (w *Writer, stop func()) {
	w = newWriter(Config{Lease: types.NamespacedName{Namespace: "system", Name: "entry"}, Identity: name})
	w.client, w.leases = s.client, s.leases.CoordinationV1()
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.Run(ctx) }()
	s.writers = append(s.writers, w)
	return w, func() { cancel(); <-ended }
}

// show has all writers know what there is. s.mu is held.
func (s *server) show() {
	for _, w := range s.writers {
		w.Set(s.want, []Object{s.route})
	}
}

// wants has all writers know what the condition of the route's one parent should be.
func (s *server) wants(status string) {
	s.mu.Lock()
	s.want = &Wanted{Status: &route.Status{Routes: map[types.NamespacedName][]gatewayv1.RouteParentStatus{
		named("cart"): {parent(us, "web", said(status, 1, 0))},
	}}}
	s.show()
	s.mu.Unlock()
	synctest.Wait()
}

func (s *server) expect(what string, patches int, status string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := ""
	if len(s.route.Parents) > 0 {
		c := s.route.Parents[0].Conditions[0]
		got = c.Type + "=" + string(c.Status) + " (" + c.Reason + ")"
	}
	if s.patches != patches || got != status {
		s.t.Errorf("%s: %d patches, %s; want %d, %s", what, s.patches, got, patches, status)
	}
}

// One of two writes, and nothing that is there already. When it ends, the other one goes on at once.
func TestOneWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		_, stopFirst := s.writer("first")
		synctest.Wait()
		second, stopSecond := s.writer("second")
		s.wants(accepted)
		s.expect("the first", 1, accepted)
		for range 10 {
			s.wants(accepted)
			bubble.Pass(echo)
		}
		s.expect("nothing new", 1, accepted)
		s.wants(refused)
		s.expect("a change", 2, refused)
		stopFirst()
		bubble.Pass(2 * retryPeriod * 2)
		if second.mu.Lock(); !second.leads {
			t.Error("the second does not write")
		}
		second.mu.Unlock()
		s.wants(accepted)
		s.expect("the second", 3, accepted)
		stopSecond()
	})
}

// One that cannot renew its Lease writes no more, before another one may; and begins again when it can.
func TestLostLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		w, stop := s.writer("first")
		defer stop()
		synctest.Wait()
		s.wants(accepted)
		s.change(func() { s.lease = errors.New("connection refused") })
		bubble.Pass(leaseDuration)
		s.wants(refused)
		bubble.Pass(time.Minute)
		s.expect("without the Lease", 1, accepted)
		if got := w.Problems(); len(got) != 1 || !strings.Contains(got[0], "Lease system/entry: the API server cannot") {
			t.Errorf("problems %q", got)
		}
		s.change(func() { s.lease = nil })
		bubble.Pass(time.Minute)
		s.expect("with it again", 2, refused)
		if got := w.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
	})
}

// Rights that are missing are named, and are used once they are there.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.lease = apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, "entry", errors.New("no rule"))
		s.refuse = apierrors.NewForbidden(schema.GroupResource{Resource: "httproutes/status"}, "cart", errors.New("no rule"))
		w, stop := s.writer("first")
		defer stop()
		s.wants(accepted)
		if got := w.Problems(); len(got) != 1 || !strings.Contains(got[0], "get, create and update of leases (coordination.k8s.io) in name") {
			t.Errorf("problems %q", got)
		}
		s.change(func() { s.lease = nil })
		bubble.Pass(time.Minute)
		got := w.Problems()
		if len(got) != 1 || !strings.Contains(got[0], "HTTPRoute: the API server does not allow to write its status: allow the entry's service "+
			"account patch of httproutes/status (gateway.networking.k8s.io) in all namespaces") {
			t.Errorf("problems %q", got)
		}
		if s.patches > 3 {
			t.Errorf("%d patches in a minute", s.patches)
		}
		s.change(func() { s.refuse, s.patches = nil, 0 })
		bubble.Pass(2 * maxBackoff)
		s.expect("with the right", 1, accepted)
		s.wants(accepted)
		if got := w.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
	})
}

// What others changed meanwhile is not overwritten: the newer version is written when it is known.
func TestConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		w, stop := s.writer("first")
		defer stop()
		synctest.Wait()
		s.change(func() { s.bump() })
		old := s.route
		old.Version = "1"
		want := map[types.NamespacedName][]gatewayv1.RouteParentStatus{named("cart"): {parent(us, "web", said(accepted, 1, 0))}}
		w.Set(&Wanted{Status: &route.Status{Routes: want}}, []Object{old})
		synctest.Wait()
		s.expect("in conflict", 1, "")
		s.wants(accepted)
		s.expect("known", 2, accepted)
		if got := w.Problems(); len(got) != 0 {
			t.Errorf("problems %q", got)
		}
	})
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(Config{})
	fields := regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: "(.*?)", `)
	for _, c := range []prometheus.Collector{w.writes, w.leader} {
		descs := make(chan *prometheus.Desc, 1)
		c.Describe(descs)
		of := fields.FindStringSubmatch((<-descs).String())
		if row := regexp.MustCompile("(?m)^\\| `" + of[1] + "` .*" + regexp.QuoteMeta("| "+of[2]+" |") + "$"); !row.Match(text) {
			t.Errorf("%v is not in docs/metrics.md with this help", of)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{REST: &rest.Config{Host: "http://127.0.0.1:1"}, Lease: types.NamespacedName{Namespace: "system", Name: "entry"}, Identity: "a"}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	for _, edit := range []func(*Config){
		func(c *Config) { c.REST = nil }, func(c *Config) { c.Lease.Name = "" }, func(c *Config) { c.Lease.Namespace = "" },
		func(c *Config) { c.Identity = "" },
	} {
		c := good
		if edit(&c); true {
			if _, err := New(c); err == nil {
				t.Errorf("%+v", c)
			}
		}
	}
}
