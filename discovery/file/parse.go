package file

import (
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/internal/manifest"
)

// parsed is the content of one file.
type parsed struct {
	objects []*object
	// unread are the objects that the file may still hold, but that cannot be used as they are.
	unread patterns
	// foreign are objects of kinds that are not read.
	foreign map[metav1.TypeMeta]int
	errs    []FileError
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

// names is true if the set matches with a name.
func (p patterns) names(k key) bool {
	return p[k] || p[key{kind: k.kind, name: k.name}] || p[key{namespace: k.namespace, name: k.name}] || p[key{name: k.name}]
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
	out := &parsed{unread: patterns{}, foreign: map[metav1.TypeMeta]int{}}
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
	if errors.Is(err, errForeign) {
		out.foreign[m.ID.TypeMeta]++
		return
	}
	if err != nil {
		out.add(file, m.Document, err)
		if kind, ok := p.kindOf(m); ok {
			out.unread[p.pattern(kind, m.ID)] = true
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

var errForeign = errors.New("an object of another kind")

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
		kind, ours := p.kindOf(m)
		if !ours {
			return at, k, errForeign
		}
		return at, k, m.Errorf("kind", "%s %s is not a kind that Eastway reads: it reads %s", m.ID.APIVersion, m.ID.Kind, p.readable(kind))
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
// Eastway does not read: such an object cannot be one that was read before. A kind that Eastway reads counts in every
// version, and also with a typing error in its name or group.
func (p *parser) kindOf(m *manifest.Object) (string, bool) {
	id := m.ID
	if m.Empty() {
		return "", false
	}
	if id.Kind == "" || mistyped(id.Kind, "List") && !strings.Contains(id.Group(), ".") {
		return "", true
	}
	for t := range p.kinds {
		list := mistyped(id.Kind, "List") || mistyped(id.Kind, t.Kind+"List")
		if list && mistyped(id.Group(), t.GroupVersionKind().Group) {
			return "", true
		}
		if mistyped(id.Kind, t.Kind) && (id.APIVersion == "" || sameGroup(id.Group(), t.GroupVersionKind().Group)) {
			return t.Kind, true
		}
	}
	return "", false
}

// pattern is the key of an object that is not usable. What it may be in any namespace, or in none, is kept in all.
func (p *parser) pattern(kind string, id manifest.ID) key {
	if kind == "" && id.Kind != "" {
		return key{} // a List, whose own name is not that of its items
	}
	k := key{kind: kind, name: id.Name}
	for t, known := range p.kinds {
		if t.Kind == kind && known.namespaced {
			k.namespace = id.Namespace
		}
	}
	return k
}

// sameGroup is true if a group may stand for the wanted one: with a typing error, without its domain, or with another one. No
// group without a domain has kinds with our names.
func sameGroup(got, want string) bool {
	name, _, domain := strings.Cut(got, ".")
	wanted, _, _ := strings.Cut(want, ".")
	return mistyped(got, want) || !domain || name == wanted
}

// mistyped is true if the names are the same but for case and one character that is missing, added, replaced or swapped with
// the next one. Two would be too many: ServiceImport is no ServiceExport.
func mistyped(got, want string) bool {
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
