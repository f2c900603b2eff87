package translate

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// textOf are errors as operators see them.
func textOf(errs field.ErrorList) string {
	var all []string
	for _, err := range errs {
		path, msg := FieldOf(err)
		all = append(all, path+": "+msg)
	}
	return strings.Join(all, "; ")
}

// An annotation of Eastway's that has no effect is an error: it may be a rule.
func TestAnnotations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ annotation, value, service, export string }{
		{"example.com/export-to", "a", "", ""},
		{
			v1alpha1.ExportToAnnotation, "west",
			"metadata.annotations[eastway.dev/export-to]: is not known: here are eastway.dev/takeover, eastway.dev/protocol, eastway.dev/proxy-", "",
		},
		{
			"eastway.dev/export-too", "west", "is not known: here are",
			"metadata.annotations[eastway.dev/export-too]: is not known, perhaps eastway.dev/export-to is meant",
		},
		{"eastway.dev/Export-To", "west", "is not known: here are", "is not known, perhaps eastway.dev/export-to is meant"},
		{"eastway.dev/deny", "west", "is not known: here are", "is not known: here are eastway.dev/export-to, eastway.dev/export-to-dry-run"},
		{"eastway.dev/takeovr", "true", "is not known, perhaps eastway.dev/takeover is meant", "is not known: here are"},
		{"eastway.dev/proxy-protocols", "v2", "is not known, perhaps eastway.dev/proxy-protocol is meant", "is not known: here are"},
		{v1alpha1.TakeoverAnnotation, "true", "", "is not known: here are"},
		{v1alpha1.TakeoverAnnotation, "false", "", "is not known: here are"},
		{v1alpha1.TakeoverAnnotation, "yes", `metadata.annotations[eastway.dev/takeover]: must be "true" or "false"`, "is not known: here are"},
		{v1alpha1.ExportToDryRunAnnotation, "yes", "is not known: here are", `must be "true" or "false"`},
	} {
		var c Checker
		s := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Port: 80}}}}
		s.Name, s.Annotations = "a", map[string]string{tt.annotation: tt.value}
		e := &mcsv1beta1.ServiceExport{}
		e.Name, e.Annotations = "a", s.Annotations
		for want, o := range map[*string]any{&tt.service: s, &tt.export: e} {
			errs := c.Check("default", o)
			if s, ok := o.(*corev1.Service); ok {
				if len(errs) > 0 {
					t.Errorf("the Service is not used: %v", errs)
				}
				errs = Ignored(s)
			}
			if len(errs) > 1 || (len(errs) == 0) != (*want == "") || !strings.Contains(textOf(errs), *want) {
				t.Errorf("%s: %q on %T:\ngot  %s\nwant %s", tt.annotation, tt.value, o, textOf(errs), *want)
			}
		}
	}
}

func TestAnnotationsAmongLabels(t *testing.T) {
	t.Parallel()
	var c Checker
	e := &mcsv1beta1.ServiceExport{}
	e.Name, e.Labels = "a", map[string]string{v1alpha1.ExportToAnnotation: "west", "eastway.dev/team": "x"}
	const want = "metadata.labels[eastway.dev/export-to]: is an annotation, and has no effect"
	if errs := c.Check("default", e); len(errs) != 1 || !strings.Contains(textOf(errs), want) {
		t.Errorf("%v", errs)
	}
	s := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Port: 80}}}}
	s.Name, s.Labels = "a", map[string]string{v1alpha1.DerivedLabel: v1alpha1.DerivedImport}
	s.Annotations = map[string]string{v1alpha1.PrecedenceAnnotation: "a,b"}
	if errs := Ignored(s); len(errs) != 0 {
		t.Errorf("the controller's own: %v", errs)
	}
}
