package kube

import (
	"cmp"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/status"
)

// seeGateway is the status of a Gateway, which its object here does not have: a status that is written must not make new manifests.
func seeGateway(u *unstructured.Unstructured) status.Object {
	var of struct {
		Status gatewayv1.GatewayStatus `json:"status"`
	}
	into(u, &of)
	o := seen(u, status.Gateway)
	o.Gateway = of.Status
	return o
}

// seeRoute is the same of a route of that kind.
func seeRoute(kind string) func(*unstructured.Unstructured) status.Object {
	return func(u *unstructured.Unstructured) status.Object {
		var of struct {
			Status gatewayv1.RouteStatus `json:"status"`
		}
		into(u, &of)
		o := seen(u, kind)
		o.Parents = of.Status.Parents
		return o
	}
}

// seePolicy is the same of a BackendTLSPolicy.
func seePolicy(u *unstructured.Unstructured) status.Object {
	var of struct {
		Status gatewayv1.PolicyStatus `json:"status"`
	}
	into(u, &of)
	o := seen(u, status.TLSPolicy)
	o.Ancestors = of.Status.Ancestors
	return o
}

func seen(u *unstructured.Unstructured, kind string) status.Object {
	return status.Object{ID: status.ID{Kind: kind, Name: nameOf(u)}, Version: u.GetResourceVersion(), Generation: u.GetGeneration()}
}

// into reads the status alone. What does not have its form is as if it were not there: it is written anew.
func into(u *unstructured.Unstructured, of any) {
	if is, ok := u.Object["status"]; ok {
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(map[string]any{"status": is}, of)
	}
}

// note takes what the API server has of the status of an object. table.mu is held.
func (t *table) note(u *unstructured.Unstructured) (changed bool) {
	if t.see == nil {
		return false
	}
	key, is := nameOf(u), t.see(u)
	was, known := t.statuses[key]
	t.statuses[key] = is
	return !known || !reflect.DeepEqual(was, is)
}

// Statuses are those of all Gateways, routes and BackendTLSPolicies that are there; nil until everything has been read that they are made of.
// What is returned does not change.
func (s *Source) Statuses() []status.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses
}

// gatherStatuses makes what Statuses gives. While a kind must not be read, it is not known what it has, and no status would be right. s.mu is held.
func (s *Source) gatherStatuses() {
	var out []status.Object
	for _, f := range s.feeds {
		why := f.Failure()
		if !f.synced && (why == nil || !apierrors.IsNotFound(why.Err)) {
			return
		}
		for _, o := range f.statuses {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b status.Object) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name.Namespace, b.Name.Namespace), cmp.Compare(a.Name.Name, b.Name.Name))
	})
	s.statuses = out
}
