package v1alpha1

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fieldsOf adds the paths of all fields below a type, as manifests have them.
func fieldsOf(t reflect.Type, path string, into map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[metav1.Duration](), t == reflect.TypeFor[TCPHealthCheck](),
		strings.HasPrefix(path, "portLevelSettings[].") && t != reflect.TypeFor[PortSelector]() &&
			t.Kind() == reflect.Struct: // documented as fields of the policy itself
		into[path] = true
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && t.Elem() != reflect.TypeFor[intstr.IntOrString]():
		fieldsOf(t.Elem(), path+"[]", into)
	case t.Kind() != reflect.Struct:
		into[path] = true
	default:
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fieldsOf(f.Type, strings.TrimPrefix(path+"."+name, "."), into)
		}
	}
}

// The table of docs/policy.md has each field of a TrafficPolicy once, and no other.
func TestPolicyPageIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n## Outlier detection\n")
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	fields := make(map[string]bool)
	fieldsOf(reflect.TypeFor[TrafficPolicySpec](), "", fields)
	if want := slices.Sorted(maps.Keys(fields)); !slices.Equal(documented, want) {
		t.Errorf("docs/policy.md has\n%s\nwant\n%s", strings.Join(documented, "\n"), strings.Join(want, "\n"))
	}
}

// A port has all settings that a policy has.
func TestPortSettingsAreComplete(t *testing.T) {
	t.Parallel()
	policy, port := reflect.TypeFor[TrafficPolicySpec](), reflect.TypeFor[PortSettings]()
	all := &PortSettings{}
	for f := range policy.Fields() {
		if f.Name == "TargetRef" || f.Name == "PortLevelSettings" {
			continue
		}
		of, ok := port.FieldByName(f.Name)
		if !ok || of.Type != f.Type || of.Tag.Get("json") != f.Tag.Get("json") {
			t.Errorf("portLevelSettings[] lacks %s", f.Name)
			continue
		}
		set := reflect.ValueOf("set")
		if f.Type.Kind() == reflect.Pointer {
			set = reflect.New(f.Type.Elem())
		}
		reflect.ValueOf(all).Elem().FieldByName(f.Name).Set(set)
		if reflect.ValueOf(all.spec()).Elem().FieldByName(f.Name).IsZero() {
			t.Errorf("portLevelSettings[].%s is not used", f.Name)
		}
	}
}
