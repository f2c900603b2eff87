package file

import (
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
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
	key   key
	value metav1.Object
	file  string
	doc   int
	lines map[string]int
	top   int // line that the object begins with
}

// fault makes an error about a field of the object.
func (o *object) fault(field, format string, args ...any) FileError {
	d := &document{root: &yaml.Node{Line: o.top}, lines: o.lines}
	return FileError{File: o.file, Document: o.doc, Line: d.at(field), Field: field, Message: fmt.Sprintf(format, args...)}
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

// kinds by apiVersion and kind. The two versions of ServiceExport have the same fields.
func kinds() map[metav1.TypeMeta]kind {
	const mcs = "multicluster.x-k8s.io/"
	service := kind{func() metav1.Object { return &corev1.Service{} }, true}
	node := kind{func() metav1.Object { return &corev1.Node{} }, false}
	slice := kind{func() metav1.Object { return &discoveryv1.EndpointSlice{} }, true}
	export := kind{func() metav1.Object { return &mcsv1beta1.ServiceExport{} }, true}
	peer := kind{func() metav1.Object { return &v1alpha1.Peer{} }, false}
	policy := kind{func() metav1.Object { return &v1alpha1.TrafficPolicy{} }, true}
	return map[metav1.TypeMeta]kind{
		{APIVersion: "v1", Kind: "Service"}:                        service,
		{APIVersion: "v1", Kind: "Node"}:                           node,
		{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}: slice,
		{APIVersion: mcs + "v1alpha1", Kind: "ServiceExport"}:      export,
		{APIVersion: mcs + "v1beta1", Kind: "ServiceExport"}:       export,
		{APIVersion: v1alpha1.GroupVersion, Kind: "Peer"}:          peer,
		{APIVersion: v1alpha1.GroupVersion, Kind: "TrafficPolicy"}: policy,
	}
}

// identity is what tells which object a document is.
type identity struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// identify finds out which object the document is.
func (d *document) identify(kinds map[metav1.TypeMeta]kind) (at key, k kind, err error) {
	var id identity
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.data, &id); err != nil {
		return at, k, d.locate(new(identity), err)
	}
	missing := func(field string) error {
		return &placedError{line: d.at(field), field: field, err: errors.New("required")}
	}
	switch {
	case id.APIVersion == "":
		return at, k, missing("apiVersion")
	case id.Kind == "":
		return at, k, missing("kind")
	}
	k, known := kinds[id.TypeMeta]
	if !known {
		err := fmt.Errorf("%s %s is not a kind that Eastway reads", id.APIVersion, id.Kind)
		return at, k, &placedError{line: d.at("kind"), field: "kind", err: err}
	}
	if id.Metadata.Name == "" {
		return at, k, missing("metadata.name")
	}
	at = key{kind: id.Kind, name: id.Metadata.Name}
	if k.namespaced {
		at.namespace = id.Metadata.Namespace
		if at.namespace == "" {
			at.namespace = metav1.NamespaceDefault
		}
	}
	return at, k, nil
}

// decode fills in v, with errors for all fields that v does not have.
func (d *document) decode(v any) []error {
	strict, err := kjson.UnmarshalStrict(d.data, v, kjson.DisallowUnknownFields)
	if err != nil {
		return []error{d.locate(v, err)}
	}
	var errs []error
	for _, s := range strict {
		path, msg := "", s.Error()
		if fe, ok := errors.AsType[kjson.FieldError](s); ok {
			path, msg = fe.FieldPath(), "unknown field"
		}
		errs = append(errs, &placedError{line: d.at(path), field: path, err: errors.New(msg)})
	}
	return errs
}

// locate finds the node that the decoder stumbled over. It stumbles over the first bad one in the document's order, so
// with all nodes from the n-th on made null it fails exactly if n is behind the bad one: a binary search.
func (d *document) locate(v any, cause error) error {
	n := sort.Search(len(d.paths), func(n int) bool {
		data, _, err := d.json(n)
		empty := reflect.New(reflect.TypeOf(v).Elem()).Interface()
		return err == nil && kjson.UnmarshalCaseSensitivePreserveInts(data, empty) != nil
	})
	path := ""
	if n > 0 {
		path = d.paths[n-1]
	}
	return &placedError{line: d.at(path), field: path, err: plain(cause)}
}

// plain words for what the JSON decoder says of Go's types.
func plain(err error) error {
	msg := strings.TrimPrefix(err.Error(), "json: ")
	if before, goType, found := strings.Cut(msg, " into Go "); found {
		kind := goType[strings.LastIndexByte(goType, ' ')+1:]
		if what, ok := strings.CutPrefix(before, "cannot unmarshal "); ok {
			return fmt.Errorf("%s where %s is expected", what, kindWords(kind))
		}
	}
	return errors.New(msg)
}

func kindWords(goType string) string {
	switch {
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number (" + goType + ")"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "a map"
	case goType == "string":
		return "a string"
	case goType == "bool":
		return "true or false"
	}
	return "an object (" + goType[strings.LastIndexByte(goType, '.')+1:] + ")"
}
