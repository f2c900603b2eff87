package serve

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

// toEndpoints forwards everything to a headless Service with endpoints on these ports of 127.0.0.1.
func toEndpoints(t *testing.T, appProtocol string, ports ...uint16) func(*http.Request) route.Decision {
	t.Helper()
	m := &route.Manifests{Services: []*corev1.Service{{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 80, AppProtocol: &appProtocol}}},
	}}}
	for i, port := range ports {
		number := int32(port)
		m.Slices = append(m.Slices, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: strconv.Itoa(i), Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "db"},
			},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: &number}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"}}},
		})
	}
	port := int32(80)
	ref := gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "db", Port: &port}}
	m.Gateways = []*gatewayv1.Gateway{{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: route.DefaultClass, Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}},
		},
	}}
	m.Routes = []*gatewayv1.HTTPRoute{{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"},
		Spec: gatewayv1.HTTPRouteSpec{
			CommonRouteSpec: gatewayv1.CommonRouteSpec{ParentRefs: []gatewayv1.ParentReference{{Name: "web"}}},
			Rules:           []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: ref}}}},
		},
	}}
	table, _ := route.Compile(m)
	return func(r *http.Request) route.Decision { return table.Match(80, r, 0) }
}

// Requests go to the endpoints in turn, past those that refuse connections, with their body and over each protocol.
func TestEndpointsTakeTurns(t *testing.T) {
	t.Parallel()
	for protocol, set := range map[string]func(*http.Protocols){"http": http1, "kubernetes.io/h2c": h2c} {
		served := func(name string) *world {
			return newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				_, _ = fmt.Fprint(rw, name, len(b), err)
			})
		}
		a, b := served("a"), served("b")
		portOf := func(w *world) uint16 {
			_, port, _ := strings.Cut(w.backend.Listener.Addr().String(), ":")
			n, _ := strconv.ParseUint(port, 10, 16)
			return uint16(n)
		}
		a.apply(toEndpoints(t, protocol, portOf(a), 1, portOf(b)), &route.Listener{})
		c := client(t, set, nil)
		got := make(map[string]int)
		for range 30 {
			resp, body := do(t, c, request(t, http.MethodPost, "http://"+a.address()+"/", strings.NewReader("hello")))
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s %s", protocol, resp.Status, body)
			}
			got[body]++
		}
		// The endpoint that refuses comes in somewhere: its turns are those of the next one.
		if x, y := got["a5 <nil>"], got["b5 <nil>"]; x+y != 30 || min(x, y) != 10 {
			t.Errorf("%s: %v", protocol, got)
		}
		if !strings.Contains(a.access.String(), a.backend.Listener.Addr().String()) {
			t.Errorf("access log: %s", a.access)
		}
	}
}

// Without an endpoint that accepts connections, or any at all, clients get 503.
func TestNoEndpointAccepts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, nil)
	c := client(t, http1, nil)
	for _, tt := range []struct {
		ports []uint16
		why   refusal
	}{
		{nil, refusal(route.ReasonNoEndpoint)},
		{[]uint16{1}, unavailable},
		{[]uint16{1, 2}, unavailable},
	} {
		before := w.refusedCount(tt.why)
		w.apply(toEndpoints(t, "http", tt.ports...), &route.Listener{})
		resp, _ := do(t, c, request(t, http.MethodPost, "http://"+w.address()+"/", strings.NewReader("hello")))
		if resp.StatusCode != http.StatusServiceUnavailable || w.refusedCount(tt.why) != before+1 {
			t.Errorf("%v: %s, %d refused", tt.ports, resp.Status, w.refusedCount(tt.why))
		}
	}
}
