package takeover

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Removed reports whether the agents' DaemonSet is deleted or being deleted, as opposed to an upgrade, an eviction or a node that
// shuts down. An API server that no longer accepts this agent's account means the same: `helm uninstall` removes the rights too.
// Without a response it is false: the entries time out by themselves.
func Removed(ctx context.Context, client kubernetes.Interface, namespace, daemonSet string) bool {
	ds, err := client.AppsV1().DaemonSets(namespace).Get(ctx, daemonSet, metav1.GetOptions{})
	if err == nil {
		return ds.DeletionTimestamp != nil
	}
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
