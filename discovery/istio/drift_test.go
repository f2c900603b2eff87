package istio

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// message is one of Istio's: its fields, with the message that each is of.
type message map[string]string

// messages are those of testdata/fields.txt, which tools/istio compares with Istio's API.
func messages(t *testing.T) map[string]message {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "fields.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]message{}
	for line := range strings.Lines(string(text)) {
		words := append(strings.Fields(line), "")
		if out[words[0]] == nil {
			out[words[0]] = message{}
		}
		out[words[0]][words[1]] = words[2]
	}
	return out
}

// Each field of Istio's messages is either in a type here or in the table of those that are not, and neither has any other field.
func TestFieldsOfIstio(t *testing.T) {
	t.Parallel()
	all, rest := messages(t), unsupported()
	var walk func(kind, path, name string, of reflect.Type)
	walk = func(kind, path, name string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map && all[name] != nil {
			of = of.Elem()
		}
		if of.Kind() == reflect.Interface { // all of it is there
			return
		}
		if all[name] == nil {
			t.Fatalf("%s: Istio has no message %s", path, name)
		}
		own := map[string]reflect.Type{}
		for f := range of.Fields() {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			own[tag] = f.Type
		}
		delete(own, "maxEjectionTime") // Envoy's; Istio's users cannot have it
		for _, field := range slices.Sorted(maps.Keys(all[name])) {
			at := path + "." + field
			inner, here := own[field]
			_, there := rest[kind][general(at)]
			switch {
			case here && there:
				t.Errorf("%s %s is in the type and among the unsupported fields", kind, at)
			case !here && !there:
				t.Errorf("%s %s (of %s) is neither in the type nor among the unsupported fields", kind, at, name)
			case here && all[name][field] != "":
				walk(kind, at, all[name][field], inner)
			}
			delete(own, field)
		}
		for field := range own {
			t.Errorf("%s has the field %q, which Istio's message %s has not", path, field, name)
		}
	}
	for kind, of := range map[string]any{KindRule: RuleSpec{}, KindEntry: EntrySpec{}, KindRoute: RouteSpec{}} {
		walk(kind, "spec", kind, reflect.TypeOf(of))
		for path, v := range rest[kind] {
			if v.message == "" || v.effect == "" || !exists(all, kind, path) {
				t.Errorf("%s %s: %+v is of no field of Istio's, or says nothing", kind, path, v)
			}
		}
	}
}

// exists is true if the path leads to a field of Istio's.
func exists(all map[string]message, kind, path string) bool {
	name := kind
	for _, field := range strings.Split(path, ".")[1:] {
		next, ok := all[name][field]
		if !ok {
			return false
		}
		name = next
	}
	return true
}

// general knows list entries and the settings of single ports.
func TestGeneral(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"spec.http[3].route[12].headers":                                          "spec.http.route.headers",
		"spec.trafficPolicy.portLevelSettings[0].loadBalancer.zoneAwareLbSetting": "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
	} {
		if got := general(path); got != want {
			t.Errorf("general(%q) = %q, want %q", path, got, want)
		}
	}
}
