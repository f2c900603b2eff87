package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery/internal/translate"
)

// Problem is an error or a warning about one object, one kind of objects, or the API server.
type Problem struct {
	Kind      string `json:"kind,omitempty"`      // such as "Peer"; empty: the API server itself
	Namespace string `json:"namespace,omitempty"` // empty for kinds that have none
	Name      string `json:"name,omitempty"`      // empty: all objects of the kind
	Field     string `json:"field,omitempty"`     // such as "spec.trustBundle"
	Message   string `json:"message"`
	// Warning is true when the object is used all the same.
	Warning bool `json:"warning,omitempty"`
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(cmp.Or(p.Kind, "Kubernetes API"))
	switch {
	case p.Namespace != "":
		b.WriteString(" " + p.Namespace + "/" + p.Name)
	case p.Name != "":
		b.WriteString(" " + p.Name)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
}

// sorted returns the problems by kind and name, each once, and no more than can be read.
func sorted(problems []Problem) []Problem {
	slices.SortFunc(problems, compareProblems)
	problems = slices.Compact(problems)
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems:maxProblems], Problem{Message: fmt.Sprintf("and %d more problems", more)})
	}
	return problems
}

// fault is a problem of one object.
func fault(kind string, o metav1.Object, path, format string, args ...any) Problem {
	return Problem{
		Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Field: path, Message: fmt.Sprintf(format, args...),
	}
}

func warning(kind string, o metav1.Object, path, format string, args ...any) Problem {
	p := fault(kind, o, path, format, args...)
	p.Warning = true
	return p
}

// faults are the problems that a check found in an object.
func faults(kind string, o metav1.Object, errs field.ErrorList) []Problem {
	problems := make([]Problem, 0, len(errs))
	for _, err := range errs {
		path, message := translate.FieldOf(err)
		problems = append(problems, fault(kind, o, path, "%s", message))
	}
	return problems
}
