package kube

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// own takes an object that the API server sends in its own type.
func own[P metav1.Object](v any) (metav1.Object, []Problem) {
	if o, ok := v.(P); ok {
		return o, nil
	}
	return nil, []Problem{{Message: fmt.Sprintf("the API server sent a %T, expected a %T", v, *new(P))}}
}

// custom takes objects of a CustomResourceDefinition. Fields that this version does not know are reported and ignored: the
// CRD of a newer release may already be installed.
func custom[T any, P interface {
	*T
	metav1.Object
}](kind string) func(any) (metav1.Object, []Problem) {
	return func(v any) (metav1.Object, []Problem) {
		u, ok := v.(*unstructured.Unstructured)
		if !ok {
			return own[*unstructured.Unstructured](v)
		}
		delete(u.Object, "status") // written by the controller
		u.SetManagedFields(nil)
		into := P(new(T))
		err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, into, true)
		strict, ok := runtime.AsStrictDecodingError(err)
		if !ok && err != nil {
			return nil, []Problem{fault(kind, u, "", "it does not have the form of a %s: %v", kind, err)}
		}
		var problems []Problem
		if ok {
			for _, e := range strict.Errors() {
				problems = append(problems, warning(kind, u, "", "%v: ignored", e))
			}
		}
		return into, problems
	}
}
