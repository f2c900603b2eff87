package charts

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// fields is a part of a CRD's schema.
type fields struct {
	Properties map[string]fields
	Items      *fields
}

// A field that a CRD lacks is dropped by the API server without a word: each CRD has those of its type, and no others.
func TestCRDsHaveTheFieldsOfTheirTypes(t *testing.T) {
	t.Parallel()
	for file, kind := range map[string]any{
		"eastway.dev_externalservices.yaml": v1alpha1.ExternalService{},
		"eastway.dev_peers.yaml":            v1alpha1.Peer{},
		"eastway.dev_trafficpolicies.yaml":  v1alpha1.TrafficPolicy{},
	} {
		var crd struct {
			Spec struct {
				Versions []struct {
					Schema struct{ OpenAPIV3Schema fields }
				}
			}
		}
		if err := yaml.Unmarshal(read(t, chart, "crds", file), &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		compareFields(t, file, crd.Spec.Versions[0].Schema.OpenAPIV3Schema, reflect.TypeOf(kind))
	}
}

func compareFields(t *testing.T, at string, has fields, want reflect.Type) {
	t.Helper()
	for want.Kind() == reflect.Pointer || want.Kind() == reflect.Slice {
		if want.Kind() == reflect.Slice && has.Items != nil {
			has = *has.Items
		}
		want = want.Elem()
	}
	if want.Kind() != reflect.Struct || want.PkgPath() != reflect.TypeFor[v1alpha1.Peer]().PkgPath() {
		return
	}
	names := map[string]reflect.Type{}
	for f := range want.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous { // metav1.TypeMeta
			names["kind"], names["apiVersion"] = f.Type, f.Type
			continue
		}
		names[name] = f.Type
	}
	is := slices.Sorted(maps.Keys(has.Properties))
	if all := slices.Sorted(maps.Keys(names)); !slices.Equal(is, all) {
		t.Errorf("%s has %q, its type has %q: run make generate-crds", at, is, all)
	}
	for name, field := range names {
		compareFields(t, at+"."+name, has.Properties[name], field)
	}
}
