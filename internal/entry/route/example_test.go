package route_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

func ExampleCompile() {
	port := int32(8080)
	var web gatewayv1.Gateway
	web.Name, web.Namespace = "web", "shop"
	web.Spec.GatewayClassName = route.DefaultClass
	web.Spec.Listeners = []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}
	var cart gatewayv1.HTTPRoute
	cart.Name, cart.Namespace = "cart", "shop"
	cart.Spec.ParentRefs = []gatewayv1.ParentReference{{Name: "web"}}
	ref := gatewayv1.BackendRef{BackendObjectReference: gatewayv1.BackendObjectReference{Name: "cart", Port: &port}}
	cart.Spec.Rules = []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: ref}}}}

	table, status := route.Compile(&route.Manifests{
		Gateways: []*gatewayv1.Gateway{&web},
		Routes:   []*gatewayv1.HTTPRoute{&cart},
		Services: []*corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Name: "cart", Namespace: "shop"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Port: port}}},
		}},
	})
	for name, parents := range status.Routes {
		for _, c := range parents[0].Conditions {
			fmt.Println(name, c.Type, c.Status, c.Reason)
		}
	}
	d := table.Match(80, httptest.NewRequest(http.MethodGet, "http://shop.example/items", nil), 0)
	fmt.Println(d.Kind == route.Forward, d.Backend.Address, d.Rule.Route)
	// Output:
	// shop/cart Accepted True Accepted
	// shop/cart ResolvedRefs True ResolvedRefs
	// true 10.0.0.1:8080 shop/cart
}
