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
)

// fieldsOf adds the paths of all fields below a type, as manifests have them.
func fieldsOf(t reflect.Type, path string, into map[string]bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[metav1.Duration]():
		into[path] = true
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
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
