package kubecli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

const exportKind = "ServiceExport"

// maxServicesNamed is how many other services an error lists.
const maxServicesNamed = 8

// Service that is there; ErrNotFound lists the others of the namespace.
func (c *Cluster) Service(ctx context.Context, namespace, name string) (*corev1.Service, error) {
	var service corev1.Service
	err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &service)
	if !notFound(err) {
		if err != nil {
			return nil, c.explain("read Service "+namespace+"/"+name, err)
		}
		return &service, nil
	}
	if missing := c.client.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{}); notFound(missing) {
		return nil, fmt.Errorf("%w: there is no namespace %s in %s", ErrNoNamespace, namespace, c)
	}
	names, err := c.ServiceNames(ctx, namespace)
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("%w: there is no Service %s in namespace %s of %s", ErrNotFound, name, namespace, c)
	}
	more := ""
	if len(names) > maxServicesNamed {
		more = fmt.Sprintf(" and %d more", len(names)-maxServicesNamed)
		names = names[:maxServicesNamed]
	}
	return nil, fmt.Errorf("%w: there is no Service %s in namespace %s of %s; there are %s%s", ErrNotFound, name, namespace, c,
		strings.Join(names, ", "), more)
}

// ServiceNames of a namespace, sorted.
func (c *Cluster) ServiceNames(ctx context.Context, namespace string) ([]string, error) {
	var list corev1.ServiceList
	if err := c.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, c.explain("list Services", err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names, nil
}

// Namespaces of the cluster, sorted.
func (c *Cluster) Namespaces(ctx context.Context) ([]string, error) {
	var list corev1.NamespaceList
	if err := c.client.List(ctx, &list); err != nil {
		return nil, c.explain("list namespaces", err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names, nil
}

// Export makes the ServiceExport; already is true when it was there.
func (c *Cluster) Export(ctx context.Context, namespace, name string) (already bool, err error) {
	service, err := c.Service(ctx, namespace, name)
	if err != nil {
		return false, err
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return false, fmt.Errorf("%s/%s is of type ExternalName: it is a name for something else and has no endpoints to export", namespace, name)
	}
	err = anyVersion(func(version string) error {
		return c.client.Create(ctx, exportOf(version, namespace, name))
	})
	if apierrors.IsAlreadyExists(err) {
		return true, nil
	}
	return false, c.explain("export "+namespace+"/"+name, err)
}

// Unexport deletes the ServiceExport; ErrNotFound if the service is not exported.
func (c *Cluster) Unexport(ctx context.Context, namespace, name string) error {
	err := anyVersion(func(version string) error {
		return c.client.Delete(ctx, exportOf(version, namespace, name))
	})
	if notFound(err) {
		return fmt.Errorf("%w: %s/%s is not exported by %s", ErrNotFound, namespace, name, c)
	}
	return c.explain("unexport "+namespace+"/"+name, err)
}

func exportOf(version, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(mcsKind(version, exportKind))
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// AwaitExport returns the conditions once Valid and Ready are known and Ready is not about to change, or those that there
// are when ctx ends.
func (c *Cluster) AwaitExport(ctx context.Context, namespace, name string) ([]metav1.Condition, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	var conditions []metav1.Condition
	for {
		found, err := c.exportConditions(ctx, namespace, name)
		switch {
		case ctx.Err() != nil && !errors.Is(ctx.Err(), context.Canceled):
			return conditions, nil
		case err != nil:
			return conditions, err
		}
		conditions = found
		valid := meta.FindStatusCondition(conditions, string(mcsv1beta1.ServiceExportConditionValid))
		if valid != nil && (valid.Status == metav1.ConditionFalse ||
			meta.IsStatusConditionTrue(conditions, string(mcsv1beta1.ServiceExportConditionReady))) {
			return conditions, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return conditions, ctx.Err()
			}
			return conditions, nil
		case <-tick.C:
		}
	}
}

func (c *Cluster) exportConditions(ctx context.Context, namespace, name string) ([]metav1.Condition, error) {
	object := &unstructured.Unstructured{}
	err := anyVersion(func(version string) error {
		object.SetGroupVersionKind(mcsKind(version, exportKind))
		return c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
	})
	if err != nil {
		return nil, c.explain("read ServiceExport "+namespace+"/"+name, err)
	}
	var export mcsv1beta1.ServiceExport
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &export); err != nil {
		return nil, fmt.Errorf("ServiceExport %s/%s: %w", namespace, name, err)
	}
	return export.Status.Conditions, nil
}
