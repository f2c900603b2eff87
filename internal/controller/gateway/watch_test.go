package gateway

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/bubble"
)

func of(namespace, name, class string) *gatewayv1.Gateway {
	return &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       gatewayv1.GatewaySpec{GatewayClassName: gatewayv1.ObjectName(class)},
	}
}

func service(namespace, name, gatewayNamespace, gateway string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}}}
	if gatewayNamespace != "" {
		s.Labels[v1alpha1.GatewayNamespaceLabel] = gatewayNamespace
	}
	if gateway != "" {
		s.Labels[gatewayv1.GatewayNameLabelKey] = gateway
	}
	return s
}

// Which Gateways are looked at when an object changes.
func TestAffected(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, gatewayv1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("a", 70)
	c := fake.NewClientBuilder().WithScheme(scheme).
		WithObjects(of("shop", "a", "eastway"), of("shop", "b", "other"), of("web", long, "eastway")).Build()
	r := &Reconciler{cfg: Config{Client: c, Namespace: "system", Settings: Settings{EntryService: "entry"}}}
	short := itself(t.Context(), of("web", long, ""))[0].Name
	if len(short) > 63 || short == long[:63] {
		t.Errorf("key %s", short)
	}
	for name, test := range map[string]struct {
		of     func(context.Context, client.Object) []types.NamespacedName
		object client.Object
		want   string
	}{
		"Gateway":                    {itself, of("shop", "a", "x"), "shop/a"},
		"its class":                  {r.ofClass, &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "eastway"}}, "shop/a web/" + short},
		"a class without Gateways":   {r.ofClass, &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: "none"}}, ""},
		"a node":                     {r.everyGateway, &corev1.Node{}, "shop/a shop/b web/" + short},
		"its Service":                {r.ofService, service("system", "x", "shop", "a"), "shop/a"},
		"its Service, long":          {r.ofService, service("system", "x", "web", short), "web/" + short},
		"that of a Gateway now gone": {r.ofService, service("system", "x", "shop", "gone"), "shop/gone"},
		"that of the entries":        {r.ofService, service("system", "entry", "", ""), "shop/a shop/b web/" + short},
		"elsewhere, that name":       {r.ofService, service("shop", "entry", "", ""), ""},
		"elsewhere, those labels":    {r.ofService, service("shop", "x", "shop", "a"), ""},
		"any Service":                {r.ofService, service("system", "x", "", ""), ""},
		"without a namespace":        {r.ofService, service("system", "x", "", "a"), ""},
	} {
		var got []string
		for _, key := range test.of(t.Context(), test.object) {
			got = append(got, key.String())
		}
		slices.Sort(got)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", name, got, test.want)
		}
	}
}

// A Service whose labels change is looked at for the Gateway that it was of, too; several events at once are one look.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		defer q.ShutDown()
		h := watch((&Reconciler{cfg: Config{Namespace: "system"}}).ofService)
		a, b := service("system", "x", "shop", "a"), service("system", "x", "shop", "b")
		for range 3 {
			h.Create(t.Context(), event.CreateEvent{Object: a}, q)
		}
		h.Update(t.Context(), event.UpdateEvent{ObjectOld: a, ObjectNew: b}, q)
		h.Delete(t.Context(), event.DeleteEvent{Object: service("system", "x", "shop", "c")}, q)
		if q.Len() > 0 {
			t.Errorf("%d before events have settled", q.Len())
		}
		bubble.Pass(settle)
		var got []string
		for q.Len() > 0 {
			request, _ := q.Get()
			got = append(got, request.Name)
			q.Done(request)
		}
		if slices.Sort(got); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("%v", got)
		}
	})
}
