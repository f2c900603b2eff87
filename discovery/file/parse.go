package file

import (
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/internal/manifest"
)

// parsed is the content of one file.
type parsed struct {
	objects []*object
	// unread are the objects that the file may still hold, but that can't be used as they are.
	unread patterns
	errs   []FileError
}

// patterns is a set of keys in which an empty field stands for any value.
type patterns map[key]bool

func (p patterns) match(k key) bool {
	for mask := range 1 << 3 {
		at := k
		if mask&1 != 0 {
			at.kind = ""
		}
		if mask&2 != 0 {
			at.namespace = ""
		}
		if mask&4 != 0 {
			at.name = ""
		}
		if p[at] {
			return true
		}
	}
	return false
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

// file reads all objects of a file.
func (p *parser) file(name string, data []byte) *parsed {
	out := &parsed{unread: patterns{}}
	for _, m := range manifest.Read(name, data) {
		p.object(out, name, m)
	}
	return out
}

func (out *parsed) add(file string, document int, err error) {
	e := FileError{File: file, Document: document, Message: err.Error()}
	if placed, ok := errors.AsType[*manifest.Error](err); ok {
		e.Line, e.Field = placed.Line, placed.Field
	}
	out.errs = append(out.errs, e)
}

func (p *parser) object(out *parsed, file string, m *manifest.Object) {
	at, k, err := p.identify(m)
	if err != nil {
		out.add(file, m.Document, err)
		if kind, ok := p.kindOf(m.ID); ok {
			out.unread[key{kind: kind, namespace: m.ID.Namespace, name: m.ID.Name}] = true
		}
		return
	}
	o := &object{key: at, value: k.make(), file: file, doc: m.Document}
	errs := m.Decode(o.value)
	o.places = m.Places()
	for _, err := range errs {
		out.add(file, m.Document, err)
	}
	if len(errs) == 0 {
		for _, fe := range p.check.Check(at.namespace, o.value) {
			path, msg := translate.FieldOf(fe)
			out.errs = append(out.errs, o.fault(path, "%s", msg))
			errs = append(errs, fe)
		}
	}
	if len(errs) > 0 {
		out.unread[at] = true
		return
	}
	out.objects = append(out.objects, o)
}

// identify returns which object m is, and its kind.
func (p *parser) identify(m *manifest.Object) (at key, k kind, err error) {
	k, known := p.kinds[m.ID.TypeMeta]
	if known || m.ID.APIVersion == "" || m.ID.Kind == "" {
		if err := m.Identify(); err != nil {
			return at, k, err
		}
		k, known = p.kinds[m.ID.TypeMeta]
	}
	if !known {
		return at, k, m.Errorf("kind", "%s %s is not a kind that Eastway reads", m.ID.APIVersion, m.ID.Kind)
	}
	at = key{kind: m.ID.Kind, name: m.ID.Name}
	if k.namespaced {
		at.namespace = m.ID.Namespace
		if at.namespace == "" {
			at.namespace = metav1.NamespaceDefault
		}
	}
	return at, k, nil
}

// kindOf returns the kind of an object that is not usable: "" if it may be of any kind. It is false for the kinds that
// Eastway does not read, of whatever version: such an object can't be one that was read before.
func (p *parser) kindOf(id manifest.ID) (string, bool) {
	if id.Kind == "" {
		return "", true
	}
	for t := range p.kinds {
		if t.Kind == id.Kind && (id.APIVersion == "" || t.GroupVersionKind().Group == id.Group()) {
			return id.Kind, true
		}
	}
	return "", false
}
