package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/gateway"
	"github.com/eastway/eastway/internal/controller/names"
)

const system = "eastway-system"

// world is a cluster with entries and a GatewayClass, whose API server is a fake.
type world struct {
	t       *testing.T
	c       client.WithWatch
	r       *gateway.Reconciler
	classes *gateway.ClassReconciler
	events  *record.FakeRecorder
	metrics *prometheus.Registry
	owner   *metav1.OwnerReference
	// cache, if it is not nil, is what the Reconciler sees instead of the API server itself.
	cache client.Client
	// refuse is the error of the next writes of Services.
	refuse error
	writes []string
	direct int // lists of the API server itself
}

const class = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eastway, generation: 2}
spec: {controllerName: eastway.dev/entry}
`

func newWorld(t *testing.T, settings gateway.Settings, manifests ...string) *world {
	t.Helper()
	w := &world{t: t, events: record.NewFakeRecorder(100), owner: &metav1.OwnerReference{
		APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "eastway-controller", UID: "role",
	}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w.c = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&gatewayv1.Gateway{}, &gatewayv1.GatewayClass{}, &corev1.Service{}).
		WithInterceptorFuncs(interceptor.Funcs{Apply: w.apply, Delete: w.delete, SubResourceApply: w.applyStatus}).Build()
	w.restart(settings)
	w.create(append(manifests, class, `
apiVersion: v1
kind: Service
metadata: {name: eastway-entry, namespace: eastway-system}
spec: {clusterIP: None, selector: {app.kubernetes.io/component: entry}, ports: [{port: 15081}]}
`)...)
	return w
}

// restart replaces the controller.
func (w *world) restart(settings gateway.Settings) {
	w.t.Helper()
	if settings.Type == "" {
		settings.Type = corev1.ServiceTypeLoadBalancer
	}
	settings.EntryService, settings.ExternalTrafficPolicy = "eastway-entry", corev1.ServiceExternalTrafficPolicyLocal
	writer, err := apply.NewWriter(w.c, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	seen, direct := client.Client(w.c), &counting{Reader: w.c, n: &w.direct}
	if w.cache != nil {
		seen = w.cache
	}
	w.metrics = prometheus.NewRegistry()
	w.r, err = gateway.New(gateway.Config{
		Settings: settings, Namespace: system, Client: seen, Direct: direct, Writer: writer, Owner: w.owner,
		Events: w.events, Registerer: w.metrics,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.r.FromFirst()
	w.classes = &gateway.ClassReconciler{Client: w.c, Writer: writer, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
}

type counting struct {
	client.Reader
	n *int
}

func (c *counting) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	*c.n++
	return c.Reader.List(ctx, list, opts...)
}

func (w *world) apply(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	u, err := contentOf(o)
	if err != nil {
		return err
	}
	if w.refuse != nil {
		return w.refuse
	}
	w.writes = append(w.writes, "apply "+u.GetKind()+" "+u.GetName())
	return c.Apply(ctx, o, opts...)
}

func (w *world) delete(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	w.writes = append(w.writes, "delete "+o.GetName())
	return c.Delete(ctx, o, opts...)
}

// applyStatus does what an API server does with a list that has one owner: it is replaced, or goes with its owner's claim.
func (w *world) applyStatus(
	ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption,
) error {
	u, err := contentOf(o)
	if err != nil {
		return err
	}
	w.writes = append(w.writes, sub+" "+u.GetKind()+" "+u.GetName())
	is := &unstructured.Unstructured{}
	is.SetGroupVersionKind(u.GroupVersionKind())
	if err := c.Get(ctx, client.ObjectKeyFromObject(u), is); err != nil {
		return err
	}
	if u.GetUID() != is.GetUID() {
		return apierrors.NewConflict(gatewayv1.Resource(u.GetKind()), u.GetName(), fmt.Errorf("UID %q, there is %q", u.GetUID(), is.GetUID()))
	}
	was, _, err := unstructured.NestedMap(is.Object, "status")
	if err != nil {
		return err
	}
	if was == nil {
		was = map[string]any{}
	}
	if u.GetKind() == "Gateway" {
		delete(was, "addresses")
	}
	status, ok := u.Object["status"].(map[string]any)
	if !ok {
		return fmt.Errorf("status: %v", u.Object["status"])
	}
	maps.Copy(was, status)
	is.Object["status"] = was
	typed, err := w.c.Scheme().New(u.GroupVersionKind())
	if err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(is.Object, typed); err != nil {
		return err
	}
	return c.SubResource(sub).Update(ctx, typed.(client.Object), apply.StatusOwner)
}

func contentOf(o runtime.ApplyConfiguration) (*unstructured.Unstructured, error) {
	content, ok := o.(interface{ UnstructuredContent() map[string]any })
	if !ok {
		return nil, fmt.Errorf("%T", o)
	}
	return &unstructured.Unstructured{Object: content.UnstructuredContent()}, nil
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

// edit changes an object.
func edit[T client.Object](w *world, o T, namespace, name string, change func(T)) {
	w.t.Helper()
	if err := w.c.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
	change(o)
	if err := w.c.Update(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) editGateway(name string, change func(*gatewayv1.Gateway)) {
	w.t.Helper()
	edit(w, &gatewayv1.Gateway{}, "shop", name, change)
}

// remove deletes an object.
func (w *world) remove(o client.Object, namespace, name string) {
	w.t.Helper()
	o.SetNamespace(namespace)
	o.SetName(name)
	if err := w.c.Delete(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
	w.writes = nil
}

// reconcile looks at shop/NAME until nothing is written any more and returns what was.
func (w *world) reconcile(name string) []string {
	w.t.Helper()
	w.writes = nil
	for range 4 {
		before := len(w.writes)
		if _, err := w.try(name); err != nil {
			w.t.Fatal(err)
		}
		if len(w.writes) == before {
			return w.writes
		}
	}
	w.t.Fatalf("it goes on writing: %s", strings.Join(w.writes, ", "))
	return nil
}

func (w *world) try(name string) (reconcile.Result, error) {
	return w.r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: names.Label(name)}})
}

// services of the Gateways, as NAMESPACE/NAME PORT→NUMBER, in order.
func (w *world) services() []string {
	w.t.Helper()
	var out []string
	for _, s := range w.list() {
		var ports []string
		for _, p := range s.Spec.Ports {
			ports = append(ports, fmt.Sprintf("%d→%s", p.Port, p.TargetPort.String()))
		}
		out = append(out, s.Labels[v1alpha1.GatewayNamespaceLabel]+"/"+s.Labels[gatewayv1.GatewayNameLabelKey]+" "+strings.Join(ports, " "))
	}
	slices.Sort(out)
	return out
}

func (w *world) list() []*corev1.Service {
	w.t.Helper()
	var l corev1.ServiceList
	if err := w.c.List(w.t.Context(), &l, client.InNamespace(system), client.HasLabels{gatewayv1.GatewayNameLabelKey}); err != nil {
		w.t.Fatal(err)
	}
	out := make([]*corev1.Service, 0, len(l.Items))
	for i := range l.Items {
		out = append(out, &l.Items[i])
	}
	return out
}

// service is the only one.
func (w *world) service() *corev1.Service {
	w.t.Helper()
	all := w.list()
	if len(all) != 1 {
		w.t.Fatalf("%d Services", len(all))
	}
	return all[0]
}

// balance gives the Service of a Gateway an address, as a load balancer does.
func (w *world) balance(ips ...string) {
	w.t.Helper()
	s := w.service()
	s.Status.LoadBalancer.Ingress = nil
	for _, ip := range ips {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
	}
	if err := w.c.Status().Update(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addresses(name string) []string {
	w.t.Helper()
	var g gatewayv1.Gateway
	if err := w.c.Get(w.t.Context(), types.NamespacedName{Namespace: "shop", Name: name}, &g); err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, a := range g.Status.Addresses {
		out = append(out, string(*a.Type)+" "+a.Value)
	}
	return out
}

// event is the newest one, or "".
func (w *world) event() string {
	select {
	case e := <-w.events.Events:
		return e
	default:
		return ""
	}
}

// states are those of the metric that are not 0.
func (w *world) states(want ...string) {
	w.t.Helper()
	text := "# HELP eastway_controller_gateways Gateways of Eastway's classes. state: addressed, waiting (their Service has no address yet), " +
		"refused (what they ask for is not supported: see their conditions), failed (their Service could not be made: see their events " +
		"and the log).\n" +
		"# TYPE eastway_controller_gateways gauge\n"
	for _, state := range []string{"addressed", "failed", "refused", "waiting"} {
		n := 0
		for _, s := range want {
			if s == state {
				n++
			}
		}
		text += fmt.Sprintf("eastway_controller_gateways{state=%q} %d\n", state, n)
	}
	if err := testutil.GatherAndCompare(w.metrics, strings.NewReader(text)); err != nil {
		w.t.Error(err)
	}
}

func want[T comparable](t *testing.T, what string, got []T, want ...T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
