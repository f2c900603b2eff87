package kube

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// resource is one kind of objects that is followed.
type resource struct {
	kind string
	// name in URLs, metrics and the names of files.
	name string
	// versions of its API; the first that is served is used.
	versions []schema.GroupVersion
	// core kinds are built into Kubernetes: without them the catalog is not set.
	core bool
	// selector keeps from us what would not be used.
	selector string
	// convert makes of what the API server sends an object of the kind's own type.
	convert func(any) (metav1.Object, []Problem)
	// trim leaves of an object what is needed; nil when it is none of ours.
	trim func(metav1.Object) (metav1.Object, []Problem)
	// empty is what the snapshot is read into.
	empty func() metav1.Object
}

// Kinds of objects.
const (
	kindService = "Service"
	kindSlice   = "EndpointSlice"
	kindNode    = "Node"
	kindExport  = "ServiceExport"
	kindPeer    = "Peer"
	kindPolicy  = "TrafficPolicy"

	kindExternal = v1alpha1.KindExternal
)

// sliceSelector leaves out slices of no Service, those that Eastway writes for the MCS API, and those that Kubernetes makes for
// derived Services (it copies a Service's labels to its slices): they would all change with every restart of a proxy.
const sliceSelector = discoveryv1.LabelServiceName + "," + discoveryv1.LabelManagedBy + "!=" + v1alpha1.ManagedBy +
	",!" + v1alpha1.DerivedLabel

// resources are all kinds that are followed. What each refers to comes first.
func resources(namespace string) []*resource {
	mcs := func(version string) schema.GroupVersion {
		return schema.GroupVersion{Group: mcsv1beta1.GroupName, Version: version}
	}
	eastway := schema.GroupVersion{Group: "eastway.dev", Version: "v1alpha1"}
	return []*resource{
		kindOf(resource{kind: kindNode, name: "nodes", core: true}, trimNode, corev1.SchemeGroupVersion),
		kindOf(resource{kind: kindService, name: "services", core: true},
			func(s *corev1.Service) (metav1.Object, []Problem) { return trimService(s, namespace) }, corev1.SchemeGroupVersion),
		kindOf(resource{kind: kindSlice, name: "endpointslices", core: true, selector: sliceSelector}, trimSlice,
			discoveryv1.SchemeGroupVersion),
		kindOf(resource{kind: kindExport, name: "serviceexports"}, trimExport, mcs("v1beta1"), mcs("v1alpha1")),
		kindOf(resource{kind: kindPeer, name: "peers"}, trimPeer, eastway),
		kindOf(resource{kind: kindExternal, name: "externalservices"}, trimExternal, eastway),
		kindOf(resource{kind: kindPolicy, name: "trafficpolicies"}, trimPolicy, eastway),
	}
}

// kindOf fills in what follows from the type of the objects.
func kindOf[T any, P interface {
	*T
	metav1.Object
}](r resource, trim func(P) (metav1.Object, []Problem), versions ...schema.GroupVersion) *resource {
	r.versions = versions
	r.empty = func() metav1.Object { return P(new(T)) }
	r.trim = func(o metav1.Object) (metav1.Object, []Problem) {
		p, ok := o.(P)
		if !ok {
			return nil, []Problem{fault(r.kind, o, "", "the API server sent a %T, expected a %T", o, p)}
		}
		return trim(p)
	}
	r.convert = own[P]
	if !r.core {
		r.convert = custom[T, P](r.kind)
	}
	return &r
}
