package kube

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/entry/status"
)

// resource is what one feed follows.
type resource struct {
	kind string
	name string // in URLs
	// versions of its API; the first that is served is used.
	versions []schema.GroupVersion
	// namespace, object, labels and fields narrow what is read; empty: all objects of the kind.
	namespace, object string
	labels, fields    string
	convert           func(*unstructured.Unstructured) (metav1.Object, error)
	// see reads the status, of kinds of which the entry writes it.
	see func(*unstructured.Unstructured) status.Object
	// install is where its definition comes from.
	install string
}

// rootsKey is the key of a ConfigMap that has CA certificates.
const rootsKey = "ca.crt"

// Names of resources.
const (
	classes    = "gatewayclasses"
	gateways   = "gateways"
	routes     = "httproutes"
	grpcRoutes = "grpcroutes"
	tls        = "backendtlspolicies"
	grants     = "referencegrants"
	namespaces = "namespaces"
	services   = "services"
	imports    = "serviceimports"
	policies   = "trafficpolicies"
)

// resources are the kinds that are followed from the start.
func resources() []*resource {
	const (
		ofGateways = "install the definitions of Gateway API, its standard channel"
		ofEastway  = "install the definitions that come with Eastway's chart"
	)
	gateway := func(version string) schema.GroupVersion {
		return schema.GroupVersion{Group: gatewayv1.GroupName, Version: version}
	}
	mcs := func(version string) schema.GroupVersion {
		return schema.GroupVersion{Group: mcsv1beta1.GroupName, Version: version}
	}
	v1, v1beta1 := gateway("v1"), gateway("v1beta1")
	eastway := schema.GroupVersion{Group: "eastway.dev", Version: "v1alpha1"}
	return []*resource{
		{kind: "GatewayClass", name: classes, install: ofGateways, versions: []schema.GroupVersion{v1}, convert: as[gatewayv1.GatewayClass](nil)},
		{
			kind: status.Gateway, name: gateways, install: ofGateways, versions: []schema.GroupVersion{v1}, convert: as[gatewayv1.Gateway](nil),
			see: seeGateway,
		},
		{
			kind: status.HTTPRoute, name: routes, install: ofGateways, versions: []schema.GroupVersion{v1}, convert: as[gatewayv1.HTTPRoute](nil),
			see: seeRoute(status.HTTPRoute),
		},
		{
			kind: status.GRPCRoute, name: grpcRoutes, install: ofGateways, versions: []schema.GroupVersion{v1},
			convert: as[gatewayv1.GRPCRoute](nil), see: seeRoute(status.GRPCRoute),
		},
		{
			kind: status.TLSPolicy, name: tls, install: ofGateways, versions: []schema.GroupVersion{v1},
			convert: as[gatewayv1.BackendTLSPolicy](nil), see: seePolicy,
		},
		{
			kind: "ReferenceGrant", name: grants, install: ofGateways, versions: []schema.GroupVersion{v1, v1beta1},
			convert: as[gatewayv1.ReferenceGrant](nil),
		},
		{
			kind: "Namespace", name: namespaces, versions: []schema.GroupVersion{corev1.SchemeGroupVersion},
			convert: as(func(n *corev1.Namespace) { n.Spec = corev1.NamespaceSpec{} }),
		},
		{kind: "Service", name: services, versions: []schema.GroupVersion{corev1.SchemeGroupVersion}, convert: as[corev1.Service](nil)},
		{
			kind: "ServiceImport", name: imports, install: ofEastway, versions: []schema.GroupVersion{mcs("v1beta1"), mcs("v1alpha1")},
			convert: as[mcsv1beta1.ServiceImport](nil),
		},
		{
			kind: "TrafficPolicy", name: policies, install: ofEastway, versions: []schema.GroupVersion{eastway},
			convert: as[v1alpha1.TrafficPolicy](nil),
		},
	}
}

// secret is one Secret. API servers let an account read it that has the right for this name alone.
func secret(name types.NamespacedName) *resource {
	return &resource{
		kind: "Secret", name: "secrets", versions: []schema.GroupVersion{corev1.SchemeGroupVersion},
		namespace: name.Namespace, object: name.Name, fields: fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name).String(),
		convert: as(func(s *corev1.Secret) {
			data := make(map[string][]byte)
			for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
				if value, ok := s.Data[key]; ok && s.Type == corev1.SecretTypeTLS {
					data[key] = value
				}
			}
			s.Data = data
		}),
	}
}

// configMap is one ConfigMap, with its CA certificates alone.
func configMap(name types.NamespacedName) *resource {
	return &resource{
		kind: "ConfigMap", name: "configmaps", versions: []schema.GroupVersion{corev1.SchemeGroupVersion},
		namespace: name.Namespace, object: name.Name, fields: fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name).String(),
		convert: as(func(m *corev1.ConfigMap) {
			m.Data, m.BinaryData = map[string]string{rootsKey: m.Data[rootsKey]}, nil
		}),
	}
}

// endpoints are those of one Service.
func endpoints(of types.NamespacedName) *resource {
	return &resource{
		kind: "EndpointSlice", name: "endpointslices", versions: []schema.GroupVersion{discoveryv1.SchemeGroupVersion},
		namespace: of.Namespace, labels: labels.Set{discoveryv1.LabelServiceName: of.Name}.String(),
		convert: as(func(s *discoveryv1.EndpointSlice) {
			for i := range s.Endpoints {
				e := &s.Endpoints[i]
				*e = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions}
				e.Addresses = slices.DeleteFunc(e.Addresses, isLoopback)
			}
		}),
	}
}

// isLoopback is true for addresses of this process itself. API servers take none of them.
func isLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap().IsLoopback()
}

// as converts what the API server sends to an object of its own type, without what changes often and is not used.
func as[T any, P interface {
	*T
	metav1.Object
}](trim func(P)) func(*unstructured.Unstructured) (metav1.Object, error) {
	return func(u *unstructured.Unstructured) (metav1.Object, error) {
		u.SetManagedFields(nil)
		u.SetResourceVersion("")
		u.SetAnnotations(nil)
		delete(u.Object, "status")
		into := P(new(T))
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
			return nil, err
		}
		if trim != nil {
			trim(into)
		}
		return into, nil
	}
}
