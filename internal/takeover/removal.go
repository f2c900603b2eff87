package takeover

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Removed tells whether the agents' DaemonSet is gone or going, as opposed to an upgrade, an eviction or a node that is shut down.
// An API server that knows this agent's account no longer says the same: `helm uninstall` takes the rights away with the rest.
// Without an answer nothing is known, and the entries may as well time out.
func Removed(ctx context.Context, client kubernetes.Interface, namespace, daemonSet string) bool {
	ds, err := client.AppsV1().DaemonSets(namespace).Get(ctx, daemonSet, metav1.GetOptions{})
	if err == nil {
		return ds.DeletionTimestamp != nil
	}
	return apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}
