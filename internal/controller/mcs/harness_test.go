package mcs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/mcs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	own    = "here"
	system = "eastway-system"
)

// world is a cluster called "here", whose API server is a fake that gives Services their cluster IPs.
type world struct {
	t       *testing.T
	c       client.Client
	catalog *discovery.Catalog
	r       *mcs.Reconciler
	events  *record.FakeRecorder
	told    map[string]uint64 // revisions that peers sent
	now     time.Time
	dual    bool
	// asked is called when a Peer is read, if it is not nil.
	asked func(peer string)

	mu     sync.Mutex
	writes []string
	nextIP int
}

func newWorld(t *testing.T, manifests ...string) *world {
	t.Helper()
	w := &world{t: t, events: record.NewFakeRecorder(100), told: map[string]uint64{}, now: time.Unix(1_800_000_000, 0)}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mcsv1beta1.Install, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&mcsv1beta1.ServiceImport{}, &mcsv1beta1.ServiceExport{}, &v1alpha1.ExternalService{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: w.get, Apply: w.apply, Delete: w.delete, SubResourceApply: w.applyStatus,
		})
	err := mcs.Index(func(o client.Object, field string, values client.IndexerFunc) error {
		b.WithIndex(o, field, values)
		return nil
	}, system)
	if err != nil {
		t.Fatal(err)
	}
	w.c = b.Build()
	w.restart()
	w.create(append(manifests, `
apiVersion: v1
kind: Namespace
metadata: {name: default}
`, `
apiVersion: v1
kind: Service
metadata: {name: eastway-proxies, namespace: eastway-system}
spec: {clusterIP: None, selector: {app.kubernetes.io/component: proxy}, ports: [{port: 15443}]}
`)...)
	return w
}

// restart replaces the controller: the new one knows the objects, and nothing of the peers.
func (w *world) restart() {
	w.t.Helper()
	w.catalog = discovery.NewCatalog(nil)
	w.told = map[string]uint64{}
	var peers v1alpha1.PeerList
	if err := w.c.List(w.t.Context(), &peers); err != nil {
		w.t.Fatal(err)
	}
	local := discovery.Local{Peers: map[string]*discovery.Peer{}}
	for i := range peers.Items {
		local.Peers[peers.Items[i].Name] = &discovery.Peer{Name: peers.Items[i].Name, Spec: peers.Items[i].Spec}
	}
	w.catalog.SetLocal(local)
	writer, err := apply.NewWriter(w.c, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	ports, err := mcs.NewPorts(mcs.PortRange{First: 20000, Last: 20099}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := ports.Load(w.t.Context(), w.c, system); err != nil {
		w.t.Fatal(err)
	}
	w.r, err = mcs.New(mcs.Config{
		Cluster: own, Namespace: system, ProxiesService: "eastway-proxies", Client: w.c, Writer: writer,
		Catalog: w.catalog, Ports: ports, Events: w.events,
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, ok := o.(*v1alpha1.Peer); ok && w.asked != nil {
		w.asked(key.Name)
	}
	return c.Get(ctx, key, o, opts...)
}

// apply does for Services what an API server does: addresses are given once and stay.
func (w *world) apply(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	u, ok := o.(interface{ UnstructuredContent() map[string]any })
	if !ok {
		return fmt.Errorf("%T", o)
	}
	content := u.UnstructuredContent()
	metadata := content["metadata"].(map[string]any)
	w.write("apply %s %s", content["kind"], metadata["name"])
	if content["kind"] == "Service" {
		var is corev1.Service
		key := types.NamespacedName{Namespace: system, Name: metadata["name"].(string)}
		spec := content["spec"].(map[string]any)
		if c.Get(ctx, key, &is) == nil {
			spec["clusterIP"], spec["clusterIPs"] = is.Spec.ClusterIP, toAny(is.Spec.ClusterIPs)
			spec["ipFamilies"] = toAny(is.Spec.IPFamilies)
		} else if spec["clusterIP"] == nil {
			w.nextIP++
			ips, families := []any{fmt.Sprintf("10.96.0.%d", w.nextIP)}, []any{"IPv4"}
			if w.dual {
				ips, families = append(ips, fmt.Sprintf("fd00::%d", w.nextIP)), append(families, "IPv6")
			}
			spec["clusterIP"], spec["clusterIPs"], spec["ipFamilies"] = ips[0], ips, families
		}
	}
	return c.Apply(ctx, o, opts...)
}

func toAny[T ~string](in []T) []any {
	out := make([]any, 0, len(in))
	for _, s := range in {
		out = append(out, string(s))
	}
	return out
}

func (w *world) delete(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	w.write("delete %T %s", o, o.GetName())
	return c.Delete(ctx, o, opts...)
}

// applyStatus makes an update of it: the fake client's Apply would have the status' manager own all other fields too.
func (w *world) applyStatus(
	ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption,
) error {
	content, ok := o.(interface{ UnstructuredContent() map[string]any })
	if !ok {
		return fmt.Errorf("%T", o)
	}
	applied := &unstructured.Unstructured{Object: content.UnstructuredContent()}
	w.write("%s %s %s", sub, applied.GetKind(), applied.GetName())
	is := &unstructured.Unstructured{}
	is.SetGroupVersionKind(applied.GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(applied), is); err != nil {
		return err
	}
	is.Object["status"] = applied.Object["status"]
	return c.SubResource(sub).Update(ctx, is, apply.StatusOwner)
}

func (w *world) write(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, fmt.Sprintf(format, args...))
}

// create makes the objects of the manifests.
func (w *world) create(manifests ...string) {
	w.t.Helper()
	for _, m := range manifests {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(m), &kind); err != nil {
			w.t.Fatal(err)
		}
		o, err := w.c.Scheme().New(kind.GroupVersionKind())
		if err != nil {
			w.t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict([]byte(m), o); err != nil {
			w.t.Fatalf("%v in %s", err, m)
		}
		if err := w.c.Create(w.t.Context(), o.(client.Object)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// remove deletes an object.
func (w *world) remove(o client.Object, namespace, name string) {
	w.t.Helper()
	o.SetNamespace(namespace)
	o.SetName(name)
	if err := w.c.Delete(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// edit changes an object.
func edit[T client.Object](w *world, o T, namespace, name string, change func(T)) {
	w.t.Helper()
	get(w, o, namespace, name)
	change(o)
	if err := w.c.Update(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// get reads an object that must be there.
func get[T client.Object](w *world, o T, namespace, name string) T {
	w.t.Helper()
	if err := w.c.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
	return o
}

// tell is a peer's complete list of exports.
func (w *world) tell(peer string, exports ...discovery.PeerExport) {
	w.t.Helper()
	w.told[peer]++
	u := update(w.told[peer], exports)
	if err := w.catalog.UpdateRemote(discovery.ReplicaID{Peer: peer, Replica: "1"}, u); err != nil {
		w.t.Fatal(err)
	}
}

// reconcile looks at default/shop until nothing is written any more and returns what was.
func (w *world) reconcile() []string {
	w.t.Helper()
	written, err := w.try()
	if err != nil {
		w.t.Fatal(err)
	}
	return written
}

func (w *world) try() ([]string, error) {
	w.t.Helper()
	w.writes = nil
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "shop"}}
	for range 3 {
		before := len(w.writes)
		if _, err := w.r.Reconcile(w.t.Context(), request); err != nil {
			return w.writes, err
		}
		if len(w.writes) == before {
			return w.writes, nil
		}
	}
	w.t.Fatalf("it goes on writing: %s", strings.Join(w.writes, ", "))
	return nil, nil
}

func (w *world) serviceImport() *mcsv1beta1.ServiceImport {
	w.t.Helper()
	return get(w, &mcsv1beta1.ServiceImport{}, "default", "shop")
}

func (w *world) derived(kind string) []corev1.Service {
	w.t.Helper()
	var l corev1.ServiceList
	if err := w.c.List(w.t.Context(), &l, client.InNamespace(system), client.MatchingLabels{v1alpha1.DerivedLabel: kind}); err != nil {
		w.t.Fatal(err)
	}
	return l.Items
}

// slices of default/shop by the cluster that they are of.
func (w *world) slices() map[string][]discoveryv1.EndpointSlice {
	w.t.Helper()
	var l discoveryv1.EndpointSliceList
	if err := w.c.List(w.t.Context(), &l, client.MatchingLabels{mcsv1beta1.LabelServiceName: "shop"}); err != nil {
		w.t.Fatal(err)
	}
	out := map[string][]discoveryv1.EndpointSlice{}
	for i := range l.Items {
		cluster := l.Items[i].Labels[mcsv1beta1.LabelSourceCluster]
		out[cluster] = append(out[cluster], l.Items[i])
	}
	return out
}

// nothing is left of imports.
func (w *world) nothingImported() {
	w.t.Helper()
	var l mcsv1beta1.ServiceImportList
	if err := w.c.List(w.t.Context(), &l); err != nil {
		w.t.Fatal(err)
	}
	if n := len(l.Items); n > 0 {
		w.t.Errorf("%d imports", n)
	}
	if s := w.slices(); len(s) > 0 {
		w.t.Errorf("slices of %d clusters", len(s))
	}
	if d := append(w.derived(v1alpha1.DerivedImport), w.derived(v1alpha1.DerivedPod)...); len(d) > 0 {
		w.t.Errorf("%d derived Services", len(d))
	}
}

func (w *world) clusters() []string {
	w.t.Helper()
	var out []string
	for _, c := range w.serviceImport().Status.Clusters {
		out = append(out, c.Cluster)
	}
	return out
}

// exportCondition is STATUS/REASON.
func (w *world) exportCondition(kind mcsv1beta1.ServiceExportConditionType) string {
	w.t.Helper()
	e := get(w, &mcsv1beta1.ServiceExport{}, "default", "shop")
	c := meta.FindStatusCondition(e.Status.Conditions, string(kind))
	if c == nil {
		return "-"
	}
	if c.Message == "" || c.LastTransitionTime.IsZero() {
		w.t.Errorf("condition %+v", c)
	}
	return string(c.Status) + "/" + c.Reason
}

func (w *world) expectClusters(want ...string) {
	w.t.Helper()
	if got := w.clusters(); !slices.Equal(got, want) {
		w.t.Errorf("exported by %v, want %v", got, want)
	}
}
