package route

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/clip"
)

// reasonHostnameConflict is that of a route whose hostnames one of another kind has. Gateway API names no reason; it is that of listeners.
const reasonHostnameConflict = string(gatewayv1.ListenerReasonHostnameConflict)

func newCondition[T, R ~string](kind T, holds bool, reason R, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: string(kind), Status: status, Reason: string(reason), Message: clip.Text(message, maxText)}
}

// observed are conditions with the generation of the object that they are about.
func observed(generation int64, list ...metav1.Condition) []metav1.Condition {
	for i := range list {
		list[i].ObservedGeneration = generation
	}
	return list
}

// problems are what is wrong with an object; the first one gives the reason.
type problems struct {
	reason string
	list   []string
	more   int
}

func (p *problems) add(reason, format string, args ...any) {
	if p.reason == "" {
		p.reason = reason
	}
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Sprintf(format, args...))
}

// clone can be added to without changing p.
func (p *problems) clone() problems {
	out := *p
	out.list = slices.Clone(p.list)
	return out
}

func (p *problems) some() bool { return p.reason != "" }

func (p *problems) text() string {
	text := strings.Join(p.list, "; ")
	if p.more > 0 {
		text += fmt.Sprintf("; and %d more", p.more)
	}
	return text
}

// or is the reason of the problems, or one for the case that there are none.
func (p *problems) or(reason string) string {
	if p.some() {
		return p.reason
	}
	return reason
}
