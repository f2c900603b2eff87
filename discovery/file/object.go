package file

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/istio"
	"github.com/eastway/eastway/internal/manifest"
)

// key identifies an object.
type key struct {
	kind      string
	namespace string // "" for cluster-scoped kinds
	name      string
}

func (k key) String() string {
	if k.namespace == "" {
		return k.kind + " " + k.name
	}
	return k.kind + " " + k.namespace + "/" + k.name
}

// object is one good object and where it was found.
type object struct {
	key    key
	value  metav1.Object
	file   string
	doc    int
	places manifest.Places
	// field is the field of the file that a field of the value comes from; nil: the same.
	field func(string) string
}

// fault makes an error about a field of the object.
func (o *object) fault(field, format string, args ...any) FileError {
	if o.field != nil {
		field = o.field(field)
	}
	return FileError{File: o.file, Document: o.doc, Line: o.places.Line(field), Field: field, Message: fmt.Sprintf(format, args...)}
}

func (o *object) warning(field, format string, args ...any) FileError {
	e := o.fault(field, format, args...)
	e.Warning = true
	return e
}

// kind is what is read of one kind of object.
type kind struct {
	make       func() metav1.Object
	namespaced bool
}

// peerKind is the kind of Peers.
const peerKind = "Peer"

// kinds by apiVersion and kind. The two versions of ServiceExport have the same fields.
func kinds() map[metav1.TypeMeta]kind {
	const mcs = "multicluster.x-k8s.io/"
	service := kind{func() metav1.Object { return &corev1.Service{} }, true}
	node := kind{func() metav1.Object { return &corev1.Node{} }, false}
	slice := kind{func() metav1.Object { return &discoveryv1.EndpointSlice{} }, true}
	export := kind{func() metav1.Object { return &mcsv1beta1.ServiceExport{} }, true}
	peer := kind{func() metav1.Object { return &v1alpha1.Peer{} }, false}
	policy := kind{func() metav1.Object { return &v1alpha1.TrafficPolicy{} }, true}
	external := kind{func() metav1.Object { return &v1alpha1.ExternalService{} }, true}
	all := map[metav1.TypeMeta]kind{
		{APIVersion: "v1", Kind: "Service"}:                        service,
		{APIVersion: "v1", Kind: "Node"}:                           node,
		{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}: slice,
		{APIVersion: mcs + "v1alpha1", Kind: "ServiceExport"}:      export,
		{APIVersion: mcs + "v1beta1", Kind: "ServiceExport"}:       export,
		{APIVersion: v1alpha1.GroupVersion, Kind: peerKind}:        peer,
		{APIVersion: v1alpha1.GroupVersion, Kind: "TrafficPolicy"}: policy,

		{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindExternal}: external,
	}
	for t, object := range istio.Kinds() {
		all[t] = kind{object, true}
	}
	return all
}
