package kubecli

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// NetworkPolicies of the whole cluster.
func NetworkPolicies(ctx context.Context, c *Cluster) ([]networkingv1.NetworkPolicy, error) {
	var list networkingv1.NetworkPolicyList
	err := c.client.List(ctx, &list)
	return list.Items, c.explain("list NetworkPolicies", err)
}

// ByChart reports whether the chart of this installation made the policy.
func ByChart(c *Cluster, p *networkingv1.NetworkPolicy) bool {
	return p.Namespace == c.Namespace && p.Labels[nameLabel] == product && p.Labels[instanceLabel] == c.Release
}

// NamespaceLabels are those of a namespace.
func NamespaceLabels(ctx context.Context, c *Cluster, name string) (map[string]string, error) {
	var namespace corev1.Namespace
	err := c.client.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	return namespace.Labels, c.explain("read namespace "+name, err)
}

// RunningPods are those of a namespace that have not ended.
func RunningPods(ctx context.Context, c *Cluster, namespace string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := c.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, c.explain("list pods in "+namespace, err)
	}
	var running []corev1.Pod
	for i := range list.Items {
		if p := &list.Items[i]; p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed && p.DeletionTimestamp.IsZero() {
			running = append(running, *p)
		}
	}
	return running, nil
}

// Services of a namespace.
func Services(ctx context.Context, c *Cluster, namespace string) ([]corev1.Service, error) {
	var list corev1.ServiceList
	err := c.client.List(ctx, &list, client.InNamespace(namespace))
	return list.Items, c.explain("list Services in "+namespace, err)
}
