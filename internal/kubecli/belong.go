package kubecli

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Belong makes a pod of the installation's namespace belong to the ServiceAccount of the same name, so that Kubernetes removes it with that.
func Belong(ctx context.Context, c *Cluster, name string) error {
	key := client.ObjectKey{Namespace: c.Namespace, Name: name}
	var account corev1.ServiceAccount
	if err := c.client.Get(ctx, key, &account); err != nil {
		return c.explain("read ServiceAccount "+key.String(), err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": []metav1.OwnerReference{{
		APIVersion: corev1.SchemeGroupVersion.String(), Kind: "ServiceAccount", Name: account.Name, UID: account.UID,
	}}}})
	if err != nil {
		return fmt.Errorf("set the owner of pod %s: %w", key, err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	return c.explain("set the owner of pod "+key.String(), c.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch)))
}
