package mcs

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/hashtrie"
)

func newReconciler(t *testing.T, objects ...client.Object) *Reconciler {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcsv1beta1.Install, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	w, err := apply.NewWriter(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ports, _ := newPorts(t, 100, 200)
	r, err := New(Config{
		Cluster: "here", Namespace: "system", ProxiesService: "proxies", Client: c, Writer: w,
		Catalog: discovery.NewCatalog(nil), Ports: ports,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newQueue(t *testing.T) queue {
	t.Helper()
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(q.ShutDown)
	return q
}

// queued are the names that are in the queue by now, sorted; they are taken out.
func queued(q queue) []string {
	names := []string{}
	for q.Len() > 0 {
		request, _ := q.Get()
		q.Done(request)
		names = append(names, request.String())
	}
	slices.Sort(names)
	return names
}

func objectMeta(namespace, name string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}
}

// What changes in the catalog is looked at, and nothing else; when a peer has spoken for the first time, every import is.
func TestFollow(t *testing.T) {
	t.Parallel()
	ours := map[string]string{managedByLabel: v1alpha1.ManagedByName}
	r := newReconciler(t,
		&mcsv1beta1.ServiceImport{ObjectMeta: objectMeta("default", "remembered", ours)},
		&mcsv1beta1.ServiceImport{ObjectMeta: objectMeta("default", "foreign", nil)})
	synctest.Test(t, func(t *testing.T) {
		c := discovery.NewCatalog(nil)
		r.cfg.Catalog = c
		q := newQueue(t)
		ctx, cancel := context.WithCancel(t.Context())
		queues, done := make(chan queue, 1), make(chan error, 1)
		queues <- q
		go func() { done <- r.follow(ctx, queues) }()
		expect := func(want ...string) {
			t.Helper()
			bubble.Pass(time.Minute)
			if got := queued(q); !slices.Equal(got, want) {
				t.Errorf("looked at %v, want %v", got, want)
			}
		}
		tell := func(revision uint64, names ...string) {
			t.Helper()
			u := discovery.Update{
				Epoch: 1, Revision: revision,
				Exports: map[discovery.ServiceName]discovery.Metadata{}, Readiness: map[discovery.ServiceName]discovery.Endpoints{},
			}
			for _, n := range names {
				name := discovery.ServiceName{Namespace: "default", Name: n}
				u.Exports[name], u.Readiness[name] = discovery.Metadata{}, discovery.Endpoints{}
			}
			if err := c.UpdateRemote(discovery.ReplicaID{Peer: "a", Replica: "1"}, u); err != nil {
				t.Fatal(err)
			}
		}
		expect()
		c.SetLocal(discovery.Local{Peers: map[string]*discovery.Peer{"a": {Name: "a"}}})
		expect()
		tell(1) // it exports nothing: the catalog stays as it is
		expect("default/remembered")
		tell(2, "x", "y")
		expect("default/x", "default/y")
		tell(3, "x", "y")
		expect()
		tell(4, "y", "z")
		expect("default/x", "default/z")
		c.SetLocal(discovery.Local{})
		expect("default/remembered", "default/y", "default/z")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Which services an event is about.
func TestWatch(t *testing.T) {
	t.Parallel()
	derived := func(name, of string) *corev1.Service {
		return &corev1.Service{ObjectMeta: objectMeta("system", name, map[string]string{
			v1alpha1.DerivedLabel: "import", v1alpha1.ServiceNamespaceLabel: "default", v1alpha1.ServiceNameLabel: of,
		})}
	}
	slice := func(namespace string, labels map[string]string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: objectMeta(namespace, "slice", labels)}
	}
	r := newReconciler(t, derived("d1", "one"), derived("d2", "two"),
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "taken", Annotations: map[string]string{v1alpha1.TakeoverAnnotation: "true"},
		}},
		&mcsv1beta1.ServiceExport{ObjectMeta: objectMeta("default", "exported", nil)})
	r.cfg.Catalog.SetLocal(discovery.Local{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{
		{Namespace: "default", Name: "shop"}: {}, {Namespace: "other", Name: "shop"}: {},
	})})
	imported := map[string]string{discoveryv1.LabelManagedBy: v1alpha1.ManagedBy, mcsv1beta1.LabelServiceName: "shop"}
	services, slicesOf := watch(r.ofService), watch(r.ofSlice)
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			happen func(q queue)
			want   []string
		}{
			"a Service": {func(q queue) {
				services.Create(t.Context(), event.CreateEvent{Object: &corev1.Service{ObjectMeta: objectMeta("default", "shop", nil)}}, q)
			}, []string{"default/shop"}},
			"a derived Service": {func(q queue) {
				services.Delete(t.Context(), event.DeleteEvent{Object: derived("d1", "one")}, q)
			}, []string{"default/one"}},
			"the proxies' Service": {func(q queue) {
				o := &corev1.Service{ObjectMeta: objectMeta("system", "proxies", nil)}
				services.Update(t.Context(), event.UpdateEvent{ObjectOld: o, ObjectNew: o}, q)
			}, []string{"default/one", "default/two", "system/proxies"}},
			"a slice of ours": {func(q queue) {
				slicesOf.Delete(t.Context(), event.DeleteEvent{Object: slice("default", imported)}, q)
			}, []string{"default/shop"}},
			"a slice of an exported service": {func(q queue) {
				slicesOf.Create(t.Context(), event.CreateEvent{
					Object: slice("default", map[string]string{discoveryv1.LabelServiceName: "exported"}),
				}, q)
			}, []string{"default/exported"}},
			"a slice of a Service that is taken over": {func(q queue) {
				slicesOf.Create(t.Context(), event.CreateEvent{
					Object: slice("default", map[string]string{discoveryv1.LabelServiceName: "taken"}),
				}, q)
			}, []string{"default/taken"}},
			"a slice of another": {func(q queue) {
				slicesOf.Create(t.Context(), event.CreateEvent{
					Object: slice("default", map[string]string{discoveryv1.LabelServiceName: "shop"}),
				}, q)
			}, []string{}},
			"a slice of nothing": {func(q queue) {
				slicesOf.Create(t.Context(), event.CreateEvent{Object: slice("default", nil)}, q)
			}, []string{}},
			"a new namespace": {func(q queue) {
				r.namespaceCreated(t.Context(), event.CreateEvent{Object: &corev1.Namespace{ObjectMeta: objectMeta("", "default", nil)}}, q)
			}, []string{"default/shop"}},
			"a namespace that was there": {func(q queue) {
				r.namespaceCreated(t.Context(), event.CreateEvent{
					Object: &corev1.Namespace{ObjectMeta: objectMeta("", "default", nil)}, IsInInitialList: true,
				}, q)
			}, []string{}},
			"a namespace that goes": {func(q queue) {
				now := metav1.Now()
				is := &corev1.Namespace{ObjectMeta: objectMeta("", "other", nil)}
				gone := is.DeepCopy()
				gone.DeletionTimestamp = &now
				r.namespaceUpdated(t.Context(), event.UpdateEvent{ObjectOld: is, ObjectNew: gone}, q)
				r.namespaceUpdated(t.Context(), event.UpdateEvent{ObjectOld: gone, ObjectNew: gone}, q)
			}, []string{"other/shop"}},
		} {
			q := newQueue(t)
			tc.happen(q)
			if early := queued(q); len(early) > 0 {
				t.Errorf("%s: looked at %v at once", name, early)
			}
			bubble.Pass(time.Second)
			if got := queued(q); !slices.Equal(got, tc.want) {
				t.Errorf("%s: looked at %v, want %v", name, got, tc.want)
			}
			q.ShutDown()
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := newReconciler(t).cfg
	good.Catalog = nil
	if err := good.Validate(); err == nil || err.Error() != "mcs: Config.Catalog is required" {
		t.Errorf("%v", err)
	}
}
