package istio

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// What Convert is given stays as it was.
func TestConvertChangesNothing(t *testing.T) {
	t.Parallel()
	objectsOf := func() []metav1.Object {
		r := ruleFor("shop", "db", "db.example", 1)
		r.Spec.TrafficPolicy.OutlierDetection = &v1alpha1.OutlierDetection{}
		r.Spec.TrafficPolicy.TLS = &TLS{Mode: v1alpha1.TLSSimple}
		e := &ServiceEntry{Spec: EntrySpec{Hosts: []string{"db.example"}, Resolution: "DNS", Ports: []v1alpha1.ExternalPort{
			{Number: 80, Name: "a-name-that-is-too-long", Protocol: "http"}, {Number: 443, Name: "https", Protocol: "HTTPS"},
		}, Endpoints: []Endpoint{{Address: "a.example", Ports: map[string]uint32{"a-name-that-is-too-long": 8443, "https": 1}}}}}
		e.Namespace, e.Name = "shop", "db"
		return []metav1.Object{r, e}
	}
	objects := objectsOf()
	first := Convert(objects)
	if !reflect.DeepEqual(objects, objectsOf()) {
		t.Error("objects have changed")
	}
	if len(first.Externals) != 2 || !reflect.DeepEqual(first, Convert(objects)) {
		t.Errorf("%+v", first)
	}
}
