package file

import (
	"bytes"
	"errors"
	"path/filepath"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/internal/translate"
)

// parsed is what one file says.
type parsed struct {
	objects []*object
	// broken are objects that are there, but not as they should be.
	broken map[key]bool
	// blind is true when some document does not even tell which object it is.
	blind bool
	errs  []FileError
}

// parser reads files.
type parser struct {
	check translate.Checker
	kinds map[metav1.TypeMeta]kind
}

func newParser(cfg *Config) parser {
	check := translate.Checker{Cluster: cfg.Cluster, SPIFFEID: cfg.SPIFFEID, ValidatePeer: cfg.ValidatePeer}
	return parser{check: check, kinds: kinds()}
}

// file reads all documents of a file.
func (p *parser) file(name string, data []byte) *parsed {
	if filepath.Ext(name) == ".json" {
		// YAML knows JSON, but not tabs around it. Inside JSON's strings there are none.
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" "))
	}
	out := &parsed{broken: map[key]bool{}}
	for _, part := range split(data) {
		d, err := parse(part)
		if err != nil {
			out.blind = true
			out.add(name, part.number, err)
			continue
		}
		p.document(out, name, part.number, d)
	}
	return out
}

func (out *parsed) add(file string, doc int, err error) {
	e := FileError{File: file, Document: doc, Message: err.Error()}
	if placed, ok := errors.AsType[*placedError](err); ok {
		e.Line, e.Field = placed.line, placed.field
	}
	out.errs = append(out.errs, e)
}

// document reads one object, or each item of a List.
func (p *parser) document(out *parsed, file string, number int, d *document) {
	if items := d.items(); items != nil {
		for _, n := range items {
			item, err := newDocument(n, d.shift)
			if err != nil {
				out.blind = true
				out.add(file, number, err)
				continue
			}
			p.object(out, file, number, item)
		}
		return
	}
	p.object(out, file, number, d)
}

func (p *parser) object(out *parsed, file string, number int, d *document) {
	at, k, err := d.identify(p.kinds)
	if err != nil {
		out.blind = true
		out.add(file, number, err)
		return
	}
	o := &object{key: at, value: k.make(), file: file, doc: number, lines: d.lines, top: d.at("")}
	errs := d.decode(o.value)
	for _, err := range errs {
		out.add(file, number, err)
	}
	if len(errs) == 0 {
		for _, fe := range p.check.Check(at.namespace, o.value) {
			path, msg := translate.FieldOf(fe)
			out.errs = append(out.errs, o.fault(path, "%s", msg))
			errs = append(errs, fe)
		}
	}
	if len(errs) > 0 {
		out.broken[at] = true
		return
	}
	out.objects = append(out.objects, o)
}

// items are the entries of a v1 List, as `kubectl get -o yaml` writes it; nil when the document is none.
func (d *document) items() []*yaml.Node {
	if d.scalarOf("kind") != "List" || d.scalarOf("apiVersion") != "v1" {
		return nil
	}
	items := d.child("items")
	if items == nil || items.Kind != yaml.SequenceNode {
		return nil
	}
	nodes := make([]*yaml.Node, 0, len(items.Content))
	for _, n := range items.Content {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func (d *document) child(key string) *yaml.Node {
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value == key {
			return d.root.Content[i+1]
		}
	}
	return nil
}

func (d *document) scalarOf(key string) string {
	n := d.child(key)
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}
