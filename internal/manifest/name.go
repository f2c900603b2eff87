package manifest

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Mistyped is true if the names are the same but for case and one character that is missing, added, replaced or swapped with
// the next one. Two would be too many: ServiceImport is no ServiceExport.
func Mistyped(got, want string) bool {
	got, want = strings.ToLower(got), strings.ToLower(want)
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	a, b := got[n:], want[n:]
	switch {
	case a == b:
		return true
	case a == "" || b == "":
		return len(a)+len(b) == 1
	}
	swapped := len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]
	return swapped || a[1:] == b[1:] || a[1:] == b || a == b[1:]
}

// near is the field that a field which v does not have may stand for; "" if there is none.
func near(v any, path string) string {
	parents := strings.Split(path, ".")
	name := parents[len(parents)-1]
	t := reflect.TypeOf(v)
	for _, parent := range parents[:len(parents)-1] {
		parent, _, _ = strings.Cut(parent, "[")
		next := fields(t)[parent]
		if next == nil {
			return ""
		}
		t = next
	}
	for _, known := range slices.Sorted(maps.Keys(fields(t))) {
		if Mistyped(name, known) {
			return known
		}
	}
	return ""
}

// fields are those of a struct as JSON names them, with their types, and those of what it embeds; nil for what has no fields.
func fields(t reflect.Type) map[string]reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	all := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name != "" && name != "-":
			all[name] = f.Type
		case options == "inline":
			maps.Copy(all, fields(f.Type))
		}
	}
	return all
}
