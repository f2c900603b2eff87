package check

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/status"
)

func TestCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		target  string
		handle  func(net.Conn)
		level   Level
		message string
	}{
		"not imported": {"shop/basket:80", nil, Failed, "there is no service shop/basket"},
		"no port":      {"shop/cart:81", nil, Failed, "has no TCP port 81"},
		"silent end": {"shop/cart:80", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
		}, Warning, "closed it without sending anything"},
	} {
		if c.handle != nil {
			w.server.Forward("eastway-proxy-1", 20000, w.listen(c.handle))
		}
		target, err := ParseTarget(c.target)
		if err != nil {
			t.Fatal(err)
		}
		f := &calling{newFacts(w.open(), Options{Call: target})}
		if got := f.call(t.Context()); got[0].Level != c.level || !strings.Contains(got[0].Message, c.message) {
			t.Errorf("%s: %s", name, text(got))
		}
	}
	w.unready("eastway-proxy-1")
	w.unready("eastway-proxy-2")
	f := &calling{newFacts(w.open(), Options{Call: &Target{"shop", "cart", 80}})}
	if got := f.call(t.Context()); got[0].Level != Failed || !strings.Contains(got[0].Message, "no proxy is ready") {
		t.Errorf("%s", text(got))
	}
}

// When no endpoint takes a call the cause is named, not how the connection to the proxy ended.
func TestCallCause(t *testing.T) {
	t.Parallel()
	hangUp := func(w *world) {
		w.server.Forward("eastway-proxy-1", 20000, w.listen(func(c net.Conn) { _, _ = c.Read(make([]byte, 1000)) }))
	}
	place := func(change func(*status.Endpoint)) func(*world) {
		return func(w *world) {
			hangUp(w)
			change(&w.places[0])
		}
	}
	for name, c := range map[string]struct {
		target        string
		spoil         func(*world)
		level         Level
		message, hint string
	}{
		"nowhere": {
			"shop/basket:80", func(*world) {}, Failed,
			"there is no service shop/basket: no Service of that name here", "in the cluster that has it: eastway export basket -n shop",
		},
		"not exported": {"shop/basket:80", func(w *world) {
			s := &corev1.Service{}
			s.Namespace, s.Name = "shop", "basket"
			w.server.Add(s)
		}, Failed, "is a Service of this cluster, and not imported", "eastway export basket -n shop"},
		"other port": {"shop/cart:81", func(*world) {}, Failed, "has no TCP port 81", "it has 80"},
		"headless": {"shop/basket:80", func(w *world) {
			i := &mcsv1beta1.ServiceImport{}
			i.Namespace, i.Name, i.Spec.Type = "shop", "basket", mcsv1beta1.Headless
			w.server.Add(i)
		}, Skipped, "is headless", ""},
		"no port on the proxies": {
			"shop/cart:80", func(w *world) { w.server.Remove("/v1/services", ns, "ew-cart") },
			Failed, "the controller has not given it a port", "logs -l app.kubernetes.io/component=controller",
		},
		"namespace missing here": {
			"elsewhere/cart:80", func(*world) {},
			Failed, "b exports elsewhere/cart, and it is not imported: this cluster has no namespace elsewhere", "kubectl create namespace elsewhere",
		},
		"namespace missing everywhere": {
			"nowhere/cart:80", func(*world) {},
			Failed, "this cluster has no namespace nowhere, and no cluster that is connected exports one", "is the name right?",
		},
		"left out": {"shop/basket:80", func(w *world) {
			w.peer(func(p *v1alpha1.Peer) { p.Spec.Imports = &v1alpha1.ImportRules{Deny: []string{"shop/basket"}} })
		}, Failed, "shop/basket is not imported: spec.imports.deny[0] of Peer b leaves it out", "change spec.imports"},
		"nothing takes connections": {"shop/cart:80", func(w *world) {
			w.server.Forward("eastway-proxy-1", 20000, "127.99.0.5:9")
			closed := []netip.AddrPort{netip.MustParseAddrPort("10.96.0.7:80")}
			w.status.Services = []admin.ServiceStatus{{Namespace: "shop", Name: "cart", Vacant: closed}}
		}, Failed, "does not listen for it, since no endpoint of b takes connections", "do the pods listen at the Service's targetPort?"},
		"nothing can serve it": {"shop/cart:80", func(w *world) {
			w.server.Forward("eastway-proxy-1", 20000, "127.99.0.5:9")
			w.places[0].Status = status.NotReady
		}, Failed, "no endpoint can take it: no endpoint in b is ready", "kubectl -n shop get endpointslices"},
		"proxy does not listen": {
			"shop/cart:80", func(w *world) { w.server.Forward("eastway-proxy-1", 20000, "127.99.0.5:9") },
			Failed, "proxy eastway-proxy-1 does not listen for it", "kubectl -n eastway-system logs eastway-proxy-1",
		},
		"proxy does not know it": {"shop/cart:80", func(w *world) {
			hangUp(w)
			w.places = nil
		}, Failed, "does not know the service", "try again"},
		"no endpoints": {"shop/cart:80", func(w *world) {
			hangUp(w)
			w.places = []status.Endpoint{}
		}, Failed, "it has no endpoint in any cluster", "where it is exported (b): kubectl -n shop get endpointslices"},
		"only endpoints here, not exported": {"shop/cart:80", func(w *world) {
			hangUp(w)
			w.places[0].Address, w.places[0].Cluster = "10.0.0.1:80", "a"
		}, Failed, "it has no endpoint in any cluster", ""},
		"peer away": {
			"shop/cart:80", place(func(e *status.Endpoint) { e.Status = status.Unreachable }),
			Failed, "no endpoint can take it: b cannot be reached", "is b.example.com:15443 reachable from this cluster's nodes",
		},
		"none ready": {
			"shop/cart:80", place(func(e *status.Endpoint) { e.Status = status.NotReady }),
			Failed, "no endpoint in b is ready", "kubectl -n shop get endpointslices",
		},
		"out of scope": {
			"shop/cart:80", place(func(e *status.Endpoint) { e.Status = status.OutOfScope }), Failed,
			"the TrafficPolicy's scope leaves out", "widen spec.scope of the TrafficPolicy for shop/cart",
		},
		"unhealthy": {
			"shop/cart:80", place(func(e *status.Endpoint) { e.Status = status.FailedActiveHC }), Failed,
			"fails the health check of the TrafficPolicy", "'eastway endpoints shop/cart' shows why",
		},
		"ejected": {
			"shop/cart:80", place(func(e *status.Endpoint) { e.OutlierCheck = status.CheckFailed }),
			Failed, "b refused or did not answer several times", "eastway endpoints shop/cart",
		},
		"the service's own end": {
			"shop/cart:80", hangUp, Warning, "closed it without sending anything", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.spoil(w)
			target, err := ParseTarget(c.target)
			if err != nil {
				t.Fatal(err)
			}
			f := &calling{newFacts(w.open(), Options{Call: target})}
			got := f.call(t.Context())[0]
			if got.Level != c.level || !strings.Contains(got.Message, c.message) || !strings.Contains(got.Hint, c.hint) {
				t.Errorf("%+v, want %s with %q and %q", got, c.level, c.message, c.hint)
			}
			if strings.Contains(got.Message, "port-forward") {
				t.Errorf("how the proxy is reached is nobody's concern: %s", got.Message)
			}
		})
	}
}

// A reset by the proxy though there were places is told from an end by the service itself.
func TestCallReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := &calling{newFacts(w.open(), Options{Call: &Target{"shop", "cart", 80}})}
	ready, err := f.ready(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	got, known := f.judge(t.Context(), &ready[0], f.options.Call, w.places, reset)
	if !known || got.Level != Failed || !strings.Contains(got.Hint, "logs eastway-proxy-1 --tail=20") {
		t.Errorf("%v, %+v", known, got)
	}
	if got, known := f.judge(t.Context(), &ready[0], f.options.Call, w.places, io.EOF); known {
		t.Errorf("%+v", got)
	}
	// That the API server refused connections says nothing of the proxy.
	cut := fmt.Errorf("port-forward: %w: connection refused", kubecli.ErrUnreachable)
	if got, known := f.why(t.Context(), &kubecli.ServiceImport{}, f.options.Call, cut); known {
		t.Errorf("%+v", got)
	}
}
