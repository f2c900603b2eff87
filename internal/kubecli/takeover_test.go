package kubecli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
	"github.com/eastway/eastway/internal/takeover/report"
)

// agents adds node agents that all say what tell does.
func agents(t *testing.T, s *kubetest.Server, n int, tell func() report.Status) {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(tell()) }))
	t.Cleanup(backend.Close)
	for i := range n {
		name := fmt.Sprint("agent-", i)
		s.AddPod(DefaultNamespace, name, DefaultRelease, "node", fmt.Sprint("node-", i))
		s.Forward(name, NodeHealthPort, backend.Listener.Addr().String())
	}
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Add(service("shop", "cart"))
	for _, step := range []struct{ on, changed bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		cart, err := c.Service(t.Context(), "shop", "cart")
		if err != nil {
			t.Fatal(err)
		}
		if changed, err := c.TakeOver(t.Context(), cart, step.on); err != nil || changed != step.changed {
			t.Errorf("%+v: %v, %v", step, changed, err)
		}
		var there corev1.Service
		s.Get("/v1/services", "shop", "cart", &there)
		if (there.Annotations[v1alpha1.TakeoverAnnotation] == "true") != step.on {
			t.Errorf("%+v: annotations %v", step, there.Annotations)
		}
	}
	s.Forbid("patch", "services")
	cart, err := c.Service(t.Context(), "shop", "cart")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.TakeOver(t.Context(), cart, true)
	is(t, err, ErrForbidden, "annotate Service shop/cart")
}

// Of a Service that only peers have it is said how it is called.
func TestServiceToTake(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	s.Add(service("shop", "cart"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	if got, err := c.ServiceToTake(t.Context(), "shop", "cart"); err != nil || got.Name != "cart" {
		t.Errorf("%v, %v", got, err)
	}
	_, err := c.ServiceToTake(t.Context(), "shop", "basket")
	is(t, err, ErrNotFound, "there is no Service basket in namespace shop of context east; there are cart")
	imported := &mcsv1beta1.ServiceImport{}
	imported.Namespace, imported.Name = "shop", "basket"
	imported.Spec.Ports = []mcsv1beta1.ServicePort{{Port: 8080, Protocol: corev1.ProtocolTCP}}
	imported.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "b"}}
	s.Add(imported)
	_, err = c.ServiceToTake(t.Context(), "shop", "basket")
	is(t, err, ErrNotFound, "It is imported from b: call it as basket.shop.svc.clusterset.local, or make one of that name "+
		"(kubectl --context east -n shop create service clusterip basket --tcp=8080)")
}

func TestHelmSet(t *testing.T) {
	t.Parallel()
	want := "helm upgrade eastway charts/eastway -n eastway-system --reuse-values --set node.enabled=true --kube-context east"
	if got := open(t, "east", newServer(t)).HelmSet("node.enabled=true"); got != want {
		t.Errorf("%s", got)
	}
}

func TestAwaitTakeover(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	var mu sync.Mutex
	var services []report.ServiceStatus
	agents(t, s, 2, func() report.Status {
		mu.Lock()
		defer mu.Unlock()
		return report.Status{Services: services}
	})
	var told []string
	state, err := c.AwaitTakeover(t.Context(), "shop/cart", true, func(now TakeoverState) {
		told = append(told, now.Summary())
		mu.Lock()
		defer mu.Unlock()
		services = []report.ServiceStatus{{Service: "shop/cart", Ports: []report.PortStatus{
			{Port: "80/TCP"}, {Port: "53/UDP", Reason: "only TCP is taken over"},
		}}}
	})
	if err != nil || state.Done != 2 || len(told) < 2 || told[len(told)-1] != "done on every node (2)" ||
		!strings.Contains(told[0], "node-0: has not seen it yet") {
		t.Errorf("%+v, %v, %q", state, err, told)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.AwaitTakeover(ctx, "shop/cart", false, func(TakeoverState) {}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("still taken over, but %v", err)
	}
	if state, err := c.AwaitTakeover(t.Context(), "shop/other", false, func(TakeoverState) {}); err != nil || state.Done != 2 {
		t.Errorf("%+v, %v", state, err)
	}
	// Who may not ask the agents is told so at once.
	s.Forbid("get", "pods/portforward")
	s.Forbid("create", "pods/portforward")
	_, err = c.AwaitTakeover(t.Context(), "shop/cart", true, func(TakeoverState) {})
	is(t, err, ErrForbidden, "pods/portforward")
}

func TestOpenOn(t *testing.T) {
	t.Parallel()
	with := func(change func(*Agent)) *Agent {
		a := &Agent{Status: report.Status{Services: []report.ServiceStatus{{Service: "a/b"}}}}
		change(a)
		return a
	}
	for want, a := range map[string]*Agent{
		"":                           with(func(*Agent) {}),
		"no way":                     with(func(a *Agent) { a.Err = errors.New("no way") }),
		"no nft":                     with(func(a *Agent) { a.Status.Error = "no nft" }),
		"nftables is bypassed: eBPF": with(func(a *Agent) { a.Status.Datapath.Bypassed = "eBPF" }),
		"headless":                   with(func(a *Agent) { a.Status.Services[0].Refused = "headless" }),
		"has not seen it yet":        with(func(a *Agent) { a.Status.Services = nil }),
		"80/TCP: no proxy is alive": with(func(a *Agent) {
			a.Status.Services[0].Ports = []report.PortStatus{{Port: "80/TCP", Reason: "no proxy is alive"}}
		}),
	} {
		if got := openOn(a, "a/b", true); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
