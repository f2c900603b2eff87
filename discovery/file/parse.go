package file

import (
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
	"github.com/eastway/eastway/discovery/istio"
	"github.com/eastway/eastway/internal/manifest"
)

// parsed is the content of one file.
type parsed struct {
	objects []*object
	// refused are Istio's rules that are not used: what they would secure is not either.
	refused []*object
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
	at := placed(err)
	out.errs = append(out.errs, FileError{File: file, Document: document, Line: at.Line, Field: at.Field, Message: err.Error()})
}

// cut notes that any object may have stood behind m, if m is not usable because the file ends early.
func (out *parsed) cut(m *manifest.Object, unusable bool) {
	if m.Cut && unusable {
		out.unread[key{}] = true
	}
}

// placed is where in its file an error is; zero if that is not known.
func placed(err error) manifest.Error {
	if at, ok := errors.AsType[*manifest.Error](err); ok {
		return *at
	}
	return manifest.Error{}
}

func (p *parser) object(out *parsed, file string, m *manifest.Object) {
	at, k, err := p.identify(m)
	out.cut(m, m.Err != nil || m.ID.Name == "")
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
	if at.kind != "" && m.ID.Group() == istio.Group {
		out.istio(m, o, errs)
		return
	}
	errs = slices.DeleteFunc(errs, func(err error) bool {
		field := placed(err).Field
		switch unknown, ok := errors.AsType[*manifest.UnknownFieldError](err); {
		case !ok:
			out.add(file, m.Document, err)
		case tolerable(o.value, field, unknown):
			out.errs = append(out.errs, o.warning(field, "%v: it is ignored, and the rest is used%s", err, translate.Instead(o.value, field)))
			return true
		default:
			out.errs = append(out.errs, o.fault(field, "%v%s", err, translate.Instead(o.value, field)))
		}
		return false
	})
	if len(errs) == 0 {
		for _, fe := range p.check.Check(at.namespace, o.value) {
			path, msg := translate.FieldOf(fe)
			out.errs = append(out.errs, o.fault(path, "%s", msg))
			errs = append(errs, fe)
		}
	}
	if len(errs) > 0 {
		out.unread[at] = true
		out.cut(m, true)
		return
	}
	out.objects = append(out.objects, o)
}

// istio takes one of Istio's objects.
func (out *parsed) istio(m *manifest.Object, o *object, errs []error) {
	o.value.SetNamespace(o.key.namespace)
	unknown, errs := istio.Unknowns(errs)
	for _, err := range errs {
		out.add(o.file, m.Document, err)
	}
	usable := len(errs) == 0
	if usable {
		found := istio.Check(o.value, unknown)
		for i := range found {
			out.errs = append(out.errs, o.finding(&found[i]))
		}
		usable = istio.Usable(found)
	}
	if !usable {
		out.unread[o.key] = true
		out.cut(m, true)
		out.refused = append(out.refused, o)
		return
	}
	out.objects = append(out.objects, o)
}

// tolerable is true for an unknown field of an object that is used without it: what comes from Istio or from another Kubernetes may have
// more fields. What looks like a typing error rather keeps the last good object, but of a TrafficPolicy, whose other fields are worth more.
// What a Peer limits is not guessed, nor where an ExternalService is, nor what the target of a policy is.
func tolerable(object any, field string, unknown *manifest.UnknownFieldError) bool {
	switch o := object.(type) {
	case *v1alpha1.Peer, *v1alpha1.ExternalService:
		return false
	case *v1alpha1.TrafficPolicy:
		return strings.Count(field, ".") > 1 || !o.Spec.TargetRef.IsZero()
	default:
		return unknown.Near == ""
	}
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
		if m.Err != nil { // its kind was found in the text of what is no YAML
			return at, k, m.Err
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
	if id.Kind == "" || manifest.Mistyped(id.Kind, "List") && !strings.Contains(id.Group(), ".") {
		return "", true
	}
	for t := range p.kinds {
		list := manifest.Mistyped(id.Kind, "List") || manifest.Mistyped(id.Kind, t.Kind+"List")
		if list && manifest.Mistyped(id.Group(), t.GroupVersionKind().Group) {
			return "", true
		}
		if manifest.Mistyped(id.Kind, t.Kind) && (id.APIVersion == "" || sameGroup(id.Group(), t.GroupVersionKind().Group)) {
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
	return manifest.Mistyped(got, want) || !domain || name == wanted
}
