package status_test

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/entry/status"
)

// A route whose Gateway left Eastway's class loses Eastway's entry, and no other.
func ExampleChanges() {
	cart := status.ID{Kind: status.HTTPRoute, Name: types.NamespacedName{Namespace: "shop", Name: "cart"}}
	there := []status.Object{{ID: cart, Version: "7", Parents: []gatewayv1.RouteParentStatus{
		{ParentRef: gatewayv1.ParentReference{Name: "web"}, ControllerName: route.ControllerName},
		{ParentRef: gatewayv1.ParentReference{Name: "web"}, ControllerName: "example.com/other"},
	}}}
	for _, c := range status.Changes(&status.Wanted{Status: &route.Status{}}, there, metav1.NewTime(time.Unix(0, 0))) {
		fmt.Printf("%s version %s\n%s\n", c.Name, c.Version, c.Patch)
	}
	// Output:
	// shop/cart version 7
	// {"metadata":{"resourceVersion":"7"},"status":{"parents":[{"parentRef":{"name":"web"},"controllerName":"example.com/other"}]}}
}
