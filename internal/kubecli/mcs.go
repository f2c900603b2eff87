package kubecli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// mcsVersions of multicluster.x-k8s.io, newest first. Their objects have the same fields; a cluster that got its CRDs from
// another implementation may serve only the older one.
func mcsVersions() []string { return []string{"v1beta1", "v1alpha1"} }

func mcsKind(version, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: mcsv1beta1.GroupName, Version: version, Kind: kind}
}

// anyVersion calls f with one version after the other until the API server serves it.
func anyVersion(f func(version string) error) error {
	var err error
	for _, version := range mcsVersions() {
		if err = f(version); !noKind(err) {
			return err
		}
	}
	return err
}

// ServiceImport is what commands need to know of one.
type ServiceImport struct {
	// Name is NAMESPACE/NAME.
	Name string
	// Clusters that export it.
	Clusters []string
	// Addresses are its ClusterSetIPs; none if it is headless, or not ready yet.
	Addresses []string
	Headless  bool
	// Ports are the TCP ones.
	Ports []int32
}

// Imports are the cluster's ServiceImports, by name.
func (c *Cluster) Imports(ctx context.Context) ([]ServiceImport, error) {
	list := &unstructured.UnstructuredList{}
	err := anyVersion(func(version string) error {
		list.SetGroupVersionKind(mcsKind(version, "ServiceImportList"))
		return c.client.List(ctx, list)
	})
	if err != nil {
		return nil, c.explain("list ServiceImports", err)
	}
	out := make([]ServiceImport, 0, len(list.Items))
	for i := range list.Items {
		one, err := importOf(&list.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b ServiceImport) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// ServiceImport of that name; nil if there is none.
func (c *Cluster) ServiceImport(ctx context.Context, namespace, name string) (*ServiceImport, error) {
	object := &unstructured.Unstructured{}
	err := anyVersion(func(version string) error {
		object.SetGroupVersionKind(mcsKind(version, "ServiceImport"))
		return c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
	})
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, c.explain("read ServiceImport "+namespace+"/"+name, err)
	}
	one, err := importOf(object)
	return &one, err
}

func importOf(object *unstructured.Unstructured) (ServiceImport, error) {
	var from mcsv1beta1.ServiceImport
	out := ServiceImport{Name: object.GetNamespace() + "/" + object.GetName()}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &from); err != nil {
		return out, fmt.Errorf("ServiceImport %s: %w", out.Name, err)
	}
	out.Addresses, out.Headless = from.Spec.IPs, from.Spec.Type == mcsv1beta1.Headless
	for _, cluster := range from.Status.Clusters {
		out.Clusters = append(out.Clusters, cluster.Cluster)
	}
	for _, p := range from.Spec.Ports {
		if p.Protocol == "TCP" || p.Protocol == "" {
			out.Ports = append(out.Ports, p.Port)
		}
	}
	return out, nil
}
