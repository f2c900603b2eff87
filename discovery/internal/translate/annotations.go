package translate

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/manifest"
)

// serviceAnnotations and exportAnnotations are those that users set.
func serviceAnnotations() []string {
	return []string{v1alpha1.TakeoverAnnotation, v1alpha1.ProtocolAnnotation, v1alpha1.ProxyProtocolAnnotation}
}

func exportAnnotations() []string {
	return []string{v1alpha1.ExportToAnnotation, v1alpha1.ExportToDryRunAnnotation}
}

// Ignored are annotations and labels of a Service with Eastway's prefix that have no effect. The Service is used without them: it may be
// one that has served for long, and none of its annotations restricts who may call it.
func Ignored(s *corev1.Service) []*field.Error {
	return append(checkBool(s, v1alpha1.TakeoverAnnotation), checkAnnotations(s, serviceAnnotations())...)
}

// checkAnnotations checks the names of an object's annotations and labels with Eastway's prefix. One that is not known may be a rule with a
// typing error, which must not be dropped. The controller has others on objects of its own.
func checkAnnotations(o metav1.Object, known []string) field.ErrorList {
	var errs field.ErrorList
	if o.GetLabels()[v1alpha1.DerivedLabel] != "" {
		return nil
	}
	metadata := field.NewPath("metadata")
	for name := range o.GetAnnotations() {
		if strings.HasPrefix(name, v1alpha1.GroupOwn+"/") && !slices.Contains(known, name) {
			errs = append(errs, InvalidField(metadata.Child("annotations").Key(name), "is not known%s", perhaps(name, known)))
		}
	}
	for name := range o.GetLabels() {
		if strings.HasPrefix(name, v1alpha1.GroupOwn+"/") && slices.ContainsFunc(known, func(k string) bool { return manifest.Mistyped(name, k) }) {
			errs = append(errs, InvalidField(metadata.Child("labels").Key(name),
				"is an annotation, and has no effect as a label: move it to metadata.annotations"))
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return errs
}

func perhaps(name string, known []string) string {
	for _, k := range known {
		if manifest.Mistyped(name, k) {
			return ", perhaps " + k + " is meant"
		}
	}
	return ": here are " + strings.Join(known, ", ")
}

// checkBool checks an annotation that is "true" or "false": another value would be taken for one of them.
func checkBool(o metav1.Object, name string) field.ErrorList {
	if value, ok := o.GetAnnotations()[name]; ok && value != "true" && value != "false" {
		return field.ErrorList{InvalidField(field.NewPath("metadata", "annotations").Key(name), `must be "true" or "false"`)}
	}
	return nil
}
