package manifest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// Identify checks that the object says what it is: an apiVersion, a kind and a metadata.name, all strings.
func (o *Object) Identify() error {
	if o.Err != nil {
		return o.Err
	}
	d := o.doc
	if o.Err = d.encode(); o.Err != nil {
		return o.Err
	}
	var id struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(d.data, &id); err != nil {
		return d.locate(&id, err)
	}
	for _, field := range []struct{ name, value string }{
		{"apiVersion", id.APIVersion}, {"kind", id.Kind}, {"metadata.name", id.Metadata.Name},
	} {
		if field.value == "" {
			return o.Errorf(field.name, "required")
		}
	}
	o.ID = ID{TypeMeta: id.TypeMeta, Namespace: id.Metadata.Namespace, Name: id.Metadata.Name}
	return nil
}

// Errorf makes an error about a field.
func (o *Object) Errorf(field, format string, args ...any) error {
	return &Error{Line: o.Places().Line(field), Field: field, err: fmt.Errorf(format, args...)}
}

// Decode fills in v, a pointer to an object of the Kubernetes API. The errors, each an *Error, are about all fields that v
// does not have, or about the first value of a wrong type; v holds what can be decoded in spite of them.
func (o *Object) Decode(v any) []error {
	if o.Err != nil {
		return []error{o.Err}
	}
	d := o.doc
	if o.Err = d.encode(); o.Err != nil {
		return []error{o.Err}
	}
	strict, err := kjson.UnmarshalStrict(d.data, v, kjson.DisallowUnknownFields)
	if err != nil {
		return []error{d.locate(v, err)}
	}
	var errs []error
	for _, s := range strict {
		at, ok := errors.AsType[kjson.FieldError](s)
		if !ok {
			errs = append(errs, &Error{Line: d.at(""), err: s})
			continue
		}
		errs = append(errs, &Error{Line: d.at(at.FieldPath()), Field: at.FieldPath(), err: &UnknownFieldError{Near: near(v, at.FieldPath())}})
	}
	return errs
}

// UnknownFieldError is the cause of an Error about a field that the object does not have.
type UnknownFieldError struct {
	// Near is a field that it may stand for, with a typing error; "" if there is none.
	Near string
}

func (e *UnknownFieldError) Error() string {
	if e.Near != "" {
		return "unknown field, perhaps " + e.Near + " is meant"
	}
	return "unknown field"
}

// encode makes JSON of the document, once.
func (d *document) encode() (err error) {
	if d.data == nil {
		d.data, d.paths, err = d.json(math.MaxInt)
	}
	return err
}

// locate finds the node that the decoder rejects. That is the first bad one in the document's order, so with all nodes
// from the n-th on replaced by null the decoder fails exactly if n is behind the bad one: a binary search.
func (d *document) locate(v any, cause error) error {
	decode := func(n int) (cause error) {
		if data, _, err := d.json(n); err == nil {
			cause = kjson.UnmarshalCaseSensitivePreserveInts(data, reflect.New(reflect.TypeOf(v).Elem()).Interface())
		}
		return cause
	}
	n := sort.Search(len(d.paths), func(n int) bool { return decode(n) != nil })
	path := ""
	if n > 0 {
		path = d.paths[n-1]
		if err := decode(n); err != nil {
			cause = err // of several bad nodes the decoder may have reported another one
		}
	}
	return &Error{Line: d.at(path), Field: path, err: plain(cause)}
}

// plain replaces Go's types in an error of the JSON decoder by what a user calls them.
func plain(err error) error {
	msg := strings.TrimPrefix(err.Error(), "json: ")
	if reason, ok := strings.CutPrefix(msg, "time: "); ok { // package time's words for a duration
		return fmt.Errorf("%s: a duration has a unit, such as 500ms, 30s or 5m", reason)
	}
	if before, goType, found := strings.Cut(msg, " into Go "); found {
		kind := goType[strings.LastIndexByte(goType, ' ')+1:]
		if what, ok := strings.CutPrefix(before, "cannot unmarshal "); ok && what == "number" && kind == "string" {
			return errors.New("number where a string is expected: a duration needs a unit, such as 30s, and any other text quotes")
		} else if ok {
			return fmt.Errorf("%s where %s is expected", what, typeName(kind))
		}
	}
	return errors.New(msg)
}

func typeName(goType string) string {
	switch {
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number (" + goType + ")"
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "map["):
		return "a map"
	case goType == "string":
		return "a string"
	case goType == "bool":
		return "true or false"
	}
	return "an object (" + goType[strings.LastIndexByte(goType, '.')+1:] + ")"
}
