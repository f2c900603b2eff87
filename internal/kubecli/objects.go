package kubecli

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Nodes of the cluster.
func (c *Cluster) Nodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	err := c.client.List(ctx, &list)
	return list.Items, c.explain("list nodes", err)
}

// Leader is the lease of the controller.
func (c *Cluster) Leader(ctx context.Context) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	err := c.client.Get(ctx, c.object("controller"), &lease)
	return &lease, c.explain("read the controller's lease", err)
}

// ConfigMap of any namespace.
func (c *Cluster) ConfigMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	var found corev1.ConfigMap
	err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &found)
	return &found, c.explain("read ConfigMap "+namespace+"/"+name, err)
}

// PodsIn lists pods of any namespace by one label.
func (c *Cluster) PodsIn(ctx context.Context, namespace, label, value string) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{label: value})
	return list.Items, c.explain("list pods in "+namespace, err)
}

// May reports whether another user, such as "system:serviceaccount:NAMESPACE:NAME", has a right. It takes the right to
// create SubjectAccessReviews.
func (c *Cluster) May(ctx context.Context, user string, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &what},
	}
	err := c.client.Create(ctx, review)
	return review.Status.Allowed, c.explain("check the rights of "+user, err)
}

// Derived are the Services that the controller made for others, of one kind (v1alpha1.DerivedImport and the like).
func (c *Cluster) Derived(ctx context.Context, labels map[string]string) ([]corev1.Service, error) {
	var list corev1.ServiceList
	err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), client.MatchingLabels(labels))
	return list.Items, c.explain("list derived Services", err)
}

// ReadyEndpoints counts a Service's ready endpoints in this cluster; a pod with two addresses is one.
func (c *Cluster) ReadyEndpoints(ctx context.Context, namespace, service string) (int, error) {
	var list discoveryv1.EndpointSliceList
	err := c.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service})
	ready := make(map[string]bool)
	for i := range list.Items {
		for _, e := range list.Items[i].Endpoints {
			switch {
			case e.Conditions.Ready != nil && !*e.Conditions.Ready || len(e.Addresses) == 0:
			case e.TargetRef != nil:
				ready[e.TargetRef.Name] = true
			default:
				ready[e.Addresses[0]] = true
			}
		}
	}
	return len(ready), c.explain("list the endpoints of "+namespace+"/"+service, err)
}

// Exports are all ServiceExports of the cluster.
func Exports(ctx context.Context, c *Cluster) ([]mcsv1beta1.ServiceExport, error) {
	list := &unstructured.UnstructuredList{}
	err := anyVersion(func(version string) error {
		list.SetGroupVersionKind(mcsKind(version, exportKind+"List"))
		return c.client.List(ctx, list)
	})
	if err != nil {
		return nil, c.explain("list ServiceExports", err)
	}
	out := make([]mcsv1beta1.ServiceExport, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &out[i]); err != nil {
			return nil, fmt.Errorf("ServiceExport %s/%s: %w", list.Items[i].GetNamespace(), list.Items[i].GetName(), err)
		}
	}
	return out, nil
}

// Policies are all TrafficPolicies of the cluster.
func Policies(ctx context.Context, c *Cluster) ([]v1alpha1.TrafficPolicy, error) {
	var list v1alpha1.TrafficPolicyList
	err := c.client.List(ctx, &list)
	return list.Items, c.explain("list TrafficPolicies", err)
}

// Externals are all ExternalServices of the cluster.
func Externals(ctx context.Context, c *Cluster) ([]v1alpha1.ExternalService, error) {
	var list v1alpha1.ExternalServiceList
	err := c.client.List(ctx, &list)
	return list.Items, c.explain("list ExternalServices", err)
}
