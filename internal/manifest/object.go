package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Object is one object of a text: a document, or an item of a List.
type Object struct {
	// Document is the number of the document, 1 for the first that is not empty.
	Document int
	// ID is what can be read of the object's identity, even where Err is set.
	ID ID
	// Err is why the object cannot be decoded; nil if it can. It is an *Error.
	Err error
	// Cut is true if the text may have ended early, within this object: it is the last, and more text could make YAML of it, or its
	// last line has no line break. An object that is whole and valid may be Cut, too.
	Cut bool

	doc *document
}

// ID identifies an object; what the text does not say, or does not say as a scalar, is "".
type ID struct {
	metav1.TypeMeta
	Namespace string
	Name      string
}

// Group is the API group, "" for the core group.
func (id ID) Group() string {
	group, _, found := strings.Cut(id.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

// Error is an error at a place in a text.
type Error struct {
	Line  int    // 1 for the first of the text
	Field string // such as "spec.ports[0].port"; "" for the object as a whole
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// Places knows the lines of an object's fields.
type Places struct {
	lines map[string]int // path → line of its key (or list entry)
	top   int            // line that the object begins with
}

// Read returns the objects of a text in their order. The name of its file decides whether it is JSON. The text is UTF-8 or UTF-16.
func Read(name string, data []byte) []*Object {
	data = decodeText(data)
	if strings.EqualFold(filepath.Ext(name), ".json") || json.Valid(data) {
		// YAML includes JSON, but not tabs around its values. JSON's strings contain no literal tabs.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	var objects []*Object
	parts := split(data)
	for i, part := range parts {
		last := i == len(parts)-1
		root, err := parse(part)
		if err != nil {
			cut := last && endsEarly(part, err)
			objects = append(objects, &Object{Document: part.number, ID: ID{TypeMeta: outermost(part.text)}, Err: err, Cut: cut})
			continue
		}
		if root.ShortTag() != "!!null" { // kubectl skips these, too
			of := expand(root, part)
			if last && len(of) > 0 {
				of[len(of)-1].Cut = root.Style&yaml.FlowStyle == 0 && !endsLine(part.text)
			}
			objects = append(objects, of...)
		}
	}
	return objects
}

// expand returns the object that a document is, or the items of a v1 List, as `kubectl get -o yaml` prints one.
func expand(root *yaml.Node, part part) []*Object {
	o := newObject(root, part)
	if o.ID.TypeMeta != (metav1.TypeMeta{APIVersion: "v1", Kind: "List"}) {
		return []*Object{o}
	}
	items := child(root, "items")
	if items == nil {
		return noItems(o, root, part)
	}
	if items.Tag == "!!null" {
		return nil
	}
	if items.Kind != yaml.SequenceNode {
		o.Err = &Error{Line: items.Line + part.line - 1, Field: "items", err: errors.New("a list is expected")}
		o.ID = ID{} // it may hold anything
		return []*Object{o}
	}
	objects := make([]*Object, 0, len(items.Content))
	for _, n := range items.Content {
		objects = append(objects, newObject(resolve(n), part))
	}
	return objects
}

// noItems returns nothing for an empty List, and o with an error if its items are mistyped, or there twice.
func noItems(o *Object, root *yaml.Node, part part) []*Object {
	for i := 0; i < len(root.Content); i += 2 {
		key := resolve(root.Content[i])
		switch key.Value {
		case "apiVersion", "kind", "metadata":
			continue
		}
		o.Err = &Error{Line: key.Line + part.line - 1, Field: key.Value, err: errors.New("a List has items, once, and nothing else")}
		o.ID = ID{} // it may hold anything
		return []*Object{o}
	}
	return nil
}

// outermost finds apiVersion and kind in the text of a document that is not YAML: what begins a line is outermost in YAML's
// block style. Where a key is there twice, the text may be several objects, and none is found.
func outermost(text []byte) metav1.TypeMeta {
	found := map[string][]string{}
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(line), ":")
		value, _, _ = strings.Cut(value, " #")
		found[key] = append(found[key], strings.Trim(value, " \t\r\n\"'"))
	}
	if len(found["apiVersion"]) != 1 || len(found["kind"]) != 1 {
		return metav1.TypeMeta{}
	}
	return metav1.TypeMeta{APIVersion: found["apiVersion"][0], Kind: found["kind"][0]}
}

func newObject(root *yaml.Node, part part) *Object {
	d := &document{root: root, shift: part.line - 1, lines: map[string]int{}}
	o := &Object{Document: part.number, doc: d}
	if root.Kind != yaml.MappingNode {
		o.Err = &Error{Line: root.Line + d.shift, err: errors.New("not an object: apiVersion, kind and metadata are expected")}
		return o
	}
	for i := 0; i < len(root.Content); i += 2 {
		d.lines[root.Content[i].Value] = root.Content[i].Line + d.shift
	}
	metadata := child(root, "metadata")
	o.ID = ID{
		TypeMeta:  metav1.TypeMeta{APIVersion: scalar(root, "apiVersion"), Kind: scalar(root, "kind")},
		Namespace: scalar(metadata, "namespace"),
		Name:      scalar(metadata, "name"),
	}
	return o
}

// Empty is true for a map without any of the outermost fields that all objects have: it is no object, whatever it may be.
func (o *Object) Empty() bool {
	if o.doc == nil || o.doc.root.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(o.doc.root.Content); i += 2 {
		switch strings.ToLower(resolve(o.doc.root.Content[i]).Value) {
		case "apiversion", "kind", "metadata", "spec":
			return false
		}
	}
	return true
}

// Places of the object's fields: of all of them once it is decoded, before of the outermost ones.
func (o *Object) Places() Places {
	if o.doc == nil {
		return Places{}
	}
	return o.doc.places()
}

// Line is that of a field, or of the nearest thing around it that is there.
func (p Places) Line(field string) int {
	for {
		if line, ok := p.lines[field]; ok {
			return line
		}
		// field.Path writes keys of maps in brackets: metadata.labels[example.com/x].
		if i := strings.IndexByte(field, '['); i > 0 && strings.HasSuffix(field, "]") {
			if line, ok := p.lines[field[:i]+"."+field[i+1:len(field)-1]]; ok {
				return line
			}
		}
		i := strings.LastIndexAny(field, ".[")
		if i < 0 {
			return p.top
		}
		field = field[:i]
	}
}

// child is the value of a key of a mapping; nil if there is none, or more than one.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	var found *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if resolve(n.Content[i]).Value != key {
			continue
		}
		if found != nil {
			return nil
		}
		found = resolve(n.Content[i+1])
	}
	return found
}

func scalar(n *yaml.Node, key string) string {
	value := child(n, key)
	if value == nil || value.Kind != yaml.ScalarNode || value.ShortTag() == "!!null" {
		return ""
	}
	return value.Value
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
