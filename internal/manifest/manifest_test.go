package manifest_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/manifest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleRead() {
	text := []byte(`apiVersion: v1
kind: Secret
metadata: {name: key}
--- # the peer
apiVersion: eastway.dev/v1alpha1
kind: Peer
metadata: {name: b}
spec:
  address: b.example.com:15443
`)
	for _, object := range manifest.Read("peers.yaml", text) {
		fmt.Println(object.Document, object.ID.Kind, object.ID.Name)
		if object.ID.Kind != "Peer" {
			continue
		}
		for _, err := range object.Decode(&v1alpha1.Peer{}) {
			if at, ok := errors.AsType[*manifest.Error](err); ok {
				fmt.Printf("line %d: %s: %v\n", at.Line, at.Field, err)
			}
		}
	}
	// Output:
	// 1 Secret key
	// 2 Peer b
	// line 9: spec.address: unknown field
}

// What can be read of an identity is known even of an object that cannot be decoded.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, text string
		want       []string
	}{
		"empty documents":    {"", "# nothing\n---\n\n--- # more\n", nil},
		"a commented marker": {"", "kind: A\n--- # note\nkind: B\n", []string{"1 A ", "2 B "}},
		"a marker with text": {"", "--- {kind: A}\n", []string{"1 A "}},
		"YAML 1.2 strings":   {"", "kind: A\nmetadata: {name: no}\n", []string{"1 A no"}},
		"aliases":            {"", "kind: &k A\nmetadata: {name: *k}\n", []string{"1 A A"}},
		"set twice":          {"", "kind: A\nkind: B\nmetadata: {name: x}\n", []string{"1  x"}},
		"merge keys":         {"", "kind: A\nmetadata: {name: x}\nspec: {<<: {a: b}}\n", []string{"1 A x"}},
		"JSON with tabs":     {"", "{\n\t\"kind\":\t\"A\"}\n", []string{"1 A "}},
		"bad JSON with tabs": {"x.JSON", "{\n\t\"kind\":\t\"A\",}\n", []string{"1 A "}},
		"a List":             {"", "apiVersion: v1\nkind: List\nitems: [{kind: A}, 7]\n", []string{"1 A ", "1   error"}},
		"a List of no list":  {"", "apiVersion: v1\nkind: List\nitems: {}\n", []string{"1   error"}},
		"a syntax error":     {"", "kind: A\n---\nkind: [\n---\nkind: B\n", []string{"1 A ", "2   error", "3 B "}},
	} {
		var got []string
		for _, o := range manifest.Read(c.file, []byte(c.text)) {
			text := fmt.Sprintf("%d %s %s", o.Document, o.ID.Kind, o.ID.Name)
			if o.Err != nil {
				text += " error"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A text that ends early shows that, wherever it was cut; one that is broken or whole does not.
func TestCut(t *testing.T) {
	t.Parallel()
	cut := func(text string) bool {
		objects := manifest.Read("", []byte(text))
		return len(objects) > 0 && objects[len(objects)-1].Cut
	}
	const whole = "kind: A\nmetadata: {name: a, labels: {x: \"y\", z: 'z'}}\nspec:\n  list: [1, 2]\n  more:\n  - a: 1\n"
	for end := range len(whole) - 1 {
		if end := end + 1; whole[end-1] != '\n' && !cut(whole[:end]) {
			t.Errorf("%q was cut, and is not seen to be", whole[:end])
		}
	}
	for text, want := range map[string]bool{
		whole:                                  false,
		"kind: A\nmetadata: {\n":               true,
		"kind: A\nlist: [1,\n":                 true,
		"kind: A\nname: \"x\n":                 true,
		"kind: A\nname: 'x\n":                  true,
		"kind: A\nmeta\n":                      true,
		"kind: A\nmetadata: {\n---\nkind: B\n": false,
		"kind: A\nmetadata: }\nspec: {}\n":     false,
		"kind: A\n\tmetadata:\nspec: {}\n":     false,
		"kind: A\nspec: {{ .Values.spec }}\n":  false,
		`{"kind": "A"}`:                        false,
		`{"kind": "A"`:                         true,
	} {
		if got := cut(text); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

// Texts as editors, PowerShell and cat make them. The lines are those of the file.
func TestEncodings(t *testing.T) {
	t.Parallel()
	wide := func(order binary.AppendByteOrder, text string) string {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	const two = "kind: A\r\nmetadata: {name: \u4e00}\r\n---\r\nkind: B\r\n"
	both := []string{"1 A \u4e00", "2 B "}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"mark, comment, marker":      {"\ufeff# note\n---\nkind: A\n", []string{"1 A "}},
		"mark before a directive":    {"\ufeff%YAML 1.2\n---\nkind: A\n", []string{"1 A "}},
		"joined files":               {"kind: A\n\ufeff---\nkind: B\n", []string{"1 A ", "2 B "}},
		"joined, with a comment":     {"kind: A\n---\n\ufeff# note\n\ufeff---\nkind: B\n", []string{"1 A ", "2 B "}},
		"mark, JSON":                 {"\ufeff{\t\"kind\": \"A\"}", []string{"1 A "}},
		"UTF-16":                     {wide(binary.LittleEndian, "\ufeff"+two), both},
		"UTF-16, big-endian":         {wide(binary.BigEndian, "\ufeff"+two), both},
		"UTF-16 without a mark":      {wide(binary.LittleEndian, two), both},
		"big-endian, without a mark": {wide(binary.BigEndian, two), both},
		"directives":                 {"%YAML 1.2\n%TAG ! x:\n---\nkind: A\n...\n# note\n%YAML 1.1\n---\nkind: B\n", []string{"1 A ", "2 B "}},
		"a percent sign in text":     {"kind: A\nmetadata:\n  name: >-\n    x\n    %y\n", []string{"1 A x %y"}},
		"an end marker":              {"kind: A\n...\nkind: B\n", []string{"1 A ", "2 B "}},
		"latin-1": {"kind: A\n---\nkind: B\n\nmetadata: {name: M\xfcller}\n---\nkind: C\n", []string{
			"1 A ", "2   line 5: byte 0xFC is not UTF-8: save the file as UTF-8", "3 C ",
		}},
		"NUL": {"kind: A\n# \x00\n", []string{"1   line 2: a NUL byte is not text: save the file as UTF-8"}},
		"control character": {"...\n%YAML 1.2\n---\n\nkind: A\x1b\n", []string{"1   line 5: control character U+001B is not allowed in YAML: " +
			"remove it, or write it as an escape in double quotes"}},
		"a line after directives": {"%YAML 1.2\n---\nkind: A\n...\n%YAML 1.2\n---\nkind: [\n", []string{
			"1 A ", "2   line 7: invalid YAML: did not find expected node content",
		}},
	} {
		var got []string
		for _, o := range manifest.Read("", []byte(c.text)) {
			text := fmt.Sprintf("%d %s %s", o.Document, o.ID.Kind, o.ID.Name)
			if at, ok := errors.AsType[*manifest.Error](o.Err); ok {
				text = fmt.Sprintf("%d   line %d: %v", o.Document, at.Line, at)
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A value means the same to Eastway and to kubectl, which reads YAML 1.1, or it is an error.
func TestYAMLVersions(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"80": "80", "0x1F": "31", "0o17": "15", "1e3": "1000", "-1": "-1", "0": "0", "+7": "7",
		"080": "80", "010": "", "-017": "", "0b11": "", "1_000": "", "0_7": "",
	} {
		var got struct {
			Port json.Number `json:"port"`
		}
		errs := manifest.Read("", []byte("kind: A\nport: "+value+"\n"))[0].Decode(&struct {
			Kind string       `json:"kind"`
			Port *json.Number `json:"port"`
		}{Port: &got.Port})
		if want == "" {
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), value+" has two meanings") {
				t.Errorf("%s: %v", value, errs)
			}
			continue
		}
		if number, err := got.Port.Float64(); len(errs) > 0 || err != nil || strconv.FormatFloat(number, 'f', -1, 64) != want {
			t.Errorf("%s: %s, %v, want %s", value, got.Port, errs, want)
		}
	}
	for _, name := range []string{"no", "y", "on", "null", "true", "12", "1e3", "0x1f", "0o17", "010", "0b1", "1-1", "2001-01-01"} {
		text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "A", "metadata": map[string]any{"name": name}})
		if err != nil {
			t.Fatal(err)
		}
		o := manifest.Read("", text)[0]
		if err := o.Identify(); err != nil || o.ID.Name != name {
			t.Errorf("%s: %q, %v, from\n%s", name, o.ID.Name, err, text)
		}
	}
}

// FuzzRead: whatever a text holds, it is read without harm, and each error has a line within it.
func FuzzRead(f *testing.F) {
	f.Add([]byte("apiVersion: eastway.dev/v1alpha1\nkind: Peer\nmetadata:\n  name: b\n---\nkind: Service\n"))
	f.Add([]byte("---\n---\n#\n---"))
	f.Add([]byte(`{"apiVersion": "v1", "kind": "List", "items": [{"kind": 7}]}`))
	f.Add([]byte("\r\r0"))
	f.Add([]byte("\ufeff%YAML 1.2\n---\nkind: A\n...\n\ufeff---\nkind: \x00"))
	f.Add([]byte("k\x00:\x00\n\x00-\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 2
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // all of them end a line of YAML
			lines += bytes.Count(data, []byte(end))
		}
		if bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) { // UTF-16, with other bytes
			lines += len(data)
		}
		for _, o := range manifest.Read("", data) {
			errs := append(o.Decode(&v1alpha1.Peer{}), o.Identify())
			for _, err := range errs {
				if err == nil {
					continue
				}
				at, ok := errors.AsType[*manifest.Error](err)
				if !ok || at.Line < 1 || at.Line > lines || at.Error() == "" {
					t.Errorf("error %+v in a text of %d lines", err, lines)
				}
			}
		}
	})
}

// Of several values of a wrong type the first is named, with its own reason: the decoder itself may report a later one.
func TestDecodeNamesTheFirst(t *testing.T) {
	t.Parallel()
	text := []byte(`apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: a}
spec:
  outlierDetection:
    consecutive5xxErrors: many
    baseEjectionTime: 1
`)
	errs := manifest.Read("policy.yaml", text)[0].Decode(&v1alpha1.TrafficPolicy{})
	if len(errs) != 1 {
		t.Fatal(errs)
	}
	at, ok := errors.AsType[*manifest.Error](errs[0])
	if want := "string where a whole number (uint32) is expected"; !ok || at.Line != 6 || at.Error() != want {
		t.Errorf("%+v, want %q in line 6", errs[0], want)
	}
}
