package status

import (
	"cmp"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/entry/route"
)

// Kinds of Objects.
const (
	Gateway   = "Gateway"
	HTTPRoute = "HTTPRoute"
	GRPCRoute = "GRPCRoute"
	TLSPolicy = "BackendTLSPolicy"
)

// maxParents and maxAncestors are how many entries the API takes in the status of a route and of a policy.
const (
	maxParents   = 32
	maxAncestors = 16
)

// ID names an object.
type ID struct {
	Kind string
	Name types.NamespacedName
}

// Object is what the API server has of a Gateway, route or policy.
type Object struct {
	ID
	Version    string // its resourceVersion
	Generation int64
	Gateway    gatewayv1.GatewayStatus       // of a Gateway
	Parents    []gatewayv1.RouteParentStatus // of a route
	Ancestors  []gatewayv1.PolicyAncestorStatus
}

// Wanted is what the status of all objects should say.
type Wanted struct {
	*route.Status
	// Unserved are listeners that this process cannot serve although they are programmed, and why.
	Unserved map[Listener]string
}

// Listener names one of a Gateway.
type Listener struct {
	Gateway types.NamespacedName
	Name    gatewayv1.SectionName
}

// Change is a merge patch of an object's status. It holds for this version of the object alone.
type Change struct {
	ID
	Version string
	Patch   []byte
}

// Changes are those that make what is there what is wanted, in the order of the objects. One of which a newer generation is there than was
// compiled waits for that.
func Changes(want *Wanted, there []Object, now metav1.Time) []Change {
	var out []Change
	for i := range there {
		o := &there[i]
		var status any
		switch o.Kind {
		case Gateway:
			status = want.gateway(o, now)
		case HTTPRoute:
			status = parents().change("parents", o, o.Parents, want.Routes[o.Name], now)
		case GRPCRoute:
			status = parents().change("parents", o, o.Parents, want.GRPCRoutes[o.Name], now)
		case TLSPolicy:
			status = ancestors().change("ancestors", o, o.Ancestors, want.TLSPolicies[o.Name], now)
		}
		if status == nil {
			continue
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]string{"resourceVersion": o.Version}, "status": status})
		if err != nil {
			continue // not reached: it is plain data
		}
		out = append(out, Change{ID: o.ID, Version: o.Version, Patch: patch})
	}
	return out
}

// gatewayPatch has the fields of a Gateway's status that are the entry's.
type gatewayPatch struct {
	Conditions []metav1.Condition         `json:"conditions"`
	Listeners  []gatewayv1.ListenerStatus `json:"listeners"`
}

// gateway is nil if a Gateway that is there stays as it is.
func (w *Wanted) gateway(o *Object, now metav1.Time) any {
	compiled, ours := w.Gateways[o.Name]
	if !ours || stale(compiled.Conditions, o.Generation) {
		return nil
	}
	listeners := make([]gatewayv1.ListenerStatus, 0, len(compiled.Listeners))
	unserved := ""
	for i := range compiled.Listeners {
		l := compiled.Listeners[i]
		if why := w.Unserved[Listener{o.Name, l.Name}]; why != "" {
			l.Conditions = withheld(l.Conditions, string(gatewayv1.ListenerConditionProgrammed), string(gatewayv1.ListenerReasonPending), why)
			unserved = cmp.Or(unserved, why)
		}
		l.Conditions = merged(nil, dated(l.Conditions, conditionsOf(o.Gateway.Listeners, l.Name), now))
		listeners = append(listeners, l)
	}
	conditions := compiled.Conditions
	const programmed = string(gatewayv1.GatewayConditionProgrammed)
	switch {
	case unserved != "":
		conditions = withheld(conditions, programmed, string(gatewayv1.GatewayReasonPending), unserved)
	case len(o.Gateway.Addresses) == 0:
		conditions = withheld(conditions, programmed, string(gatewayv1.GatewayReasonAddressNotAssigned),
			"status.addresses is empty: see the events and the status of the Gateway's Service, and the log of eastway controller")
	}
	patch := gatewayPatch{Conditions: merged(o.Gateway.Conditions, dated(conditions, o.Gateway.Conditions, now)), Listeners: listeners}
	if reflect.DeepEqual(patch.Conditions, o.Gateway.Conditions) && sameListeners(patch.Listeners, o.Gateway.Listeners) {
		return nil
	}
	return patch
}

// stale: what was compiled is not about this generation of the object.
func stale(conditions []metav1.Condition, generation int64) bool {
	return len(conditions) > 0 && conditions[0].ObservedGeneration != generation
}

// withheld are conditions of which one that is true is not, for a reason that was not known when they were compiled.
func withheld(all []metav1.Condition, kind, reason, message string) []metav1.Condition {
	all = slices.Clone(all)
	for i := range all {
		if c := &all[i]; c.Type == kind && c.Status == metav1.ConditionTrue {
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason, message
		}
	}
	return all
}

// dated are conditions with the times at which they changed last: those of what is there if they say the same.
func dated(want, there []metav1.Condition, now metav1.Time) []metav1.Condition {
	want = slices.Clone(want)
	for i := range want {
		c := &want[i]
		c.LastTransitionTime = now
		for j := range there {
			if t := &there[j]; t.Type == c.Type && t.Status == c.Status && !t.LastTransitionTime.IsZero() {
				c.LastTransitionTime = t.LastTransitionTime
			}
		}
	}
	return want
}

// merged are the conditions that are there with those that are wanted in their place. Others stay if their type has a domain, as those of other
// controllers have; those of Gateway API that are not wanted any more would stand for an older generation.
func merged(there, want []metav1.Condition) []metav1.Condition {
	out := slices.DeleteFunc(slices.Clone(there), func(c metav1.Condition) bool {
		return !strings.Contains(c.Type, "/") && !slices.ContainsFunc(want, func(w metav1.Condition) bool { return w.Type == c.Type })
	})
	for i := range want {
		at := slices.IndexFunc(out, func(c metav1.Condition) bool { return c.Type == want[i].Type })
		if at < 0 {
			out = append(out, want[i])
		} else {
			out[at] = want[i]
		}
	}
	return out
}

func conditionsOf(all []gatewayv1.ListenerStatus, name gatewayv1.SectionName) []metav1.Condition {
	for i := range all {
		if all[i].Name == name {
			return all[i].Conditions
		}
	}
	return nil
}

// sameListeners: the API server may leave out lists that are empty.
func sameListeners(a, b []gatewayv1.ListenerStatus) bool {
	return slices.EqualFunc(a, b, func(a, b gatewayv1.ListenerStatus) bool {
		if len(a.SupportedKinds) == 0 && len(b.SupportedKinds) == 0 {
			a.SupportedKinds, b.SupportedKinds = nil, nil
		}
		return reflect.DeepEqual(a, b)
	})
}

// entries are those of a status in which each controller has its own.
type entries[T any] struct {
	most int // that the API takes
	// of are the parts of an entry: whose it is, what it is about, and its conditions.
	of func(*T) (gatewayv1.GatewayController, *gatewayv1.ParentReference, *[]metav1.Condition)
}

func parents() entries[gatewayv1.RouteParentStatus] {
	return entries[gatewayv1.RouteParentStatus]{
		most: maxParents,
		of: func(p *gatewayv1.RouteParentStatus) (gatewayv1.GatewayController, *gatewayv1.ParentReference, *[]metav1.Condition) {
			return p.ControllerName, &p.ParentRef, &p.Conditions
		},
	}
}

func ancestors() entries[gatewayv1.PolicyAncestorStatus] {
	return entries[gatewayv1.PolicyAncestorStatus]{
		most: maxAncestors,
		of: func(p *gatewayv1.PolicyAncestorStatus) (gatewayv1.GatewayController, *gatewayv1.ParentReference, *[]metav1.Condition) {
			return p.ControllerName, &p.AncestorRef, &p.Conditions
		},
	}
}

// change is the field with those that are wanted, nil if it stays as it is. Entries of others keep their places: two writers that each sort
// theirs first would never end.
func (e entries[T]) change(field string, o *Object, there, want []T, now metav1.Time) any {
	if len(want) > 0 {
		if _, _, conditions := e.of(&want[0]); stale(*conditions, o.Generation) {
			return nil
		}
	}
	want = slices.Clone(want)
	out := make([]T, 0, len(there)+len(want))
	for i := range there {
		is := there[i]
		controller, ref, conditions := e.of(&is)
		if controller == route.ControllerName {
			at := e.about(want, ref)
			if at < 0 {
				continue // not a parent any more
			}
			_, _, wanted := e.of(&want[at])
			*conditions = dated(*wanted, *conditions, now)
			want = slices.Delete(want, at, at+1)
		}
		out = append(out, is)
	}
	for i := range want {
		is := want[i]
		_, ref, conditions := e.of(&is)
		if e.about(want[:i], ref) >= 0 || len(out) >= e.most {
			continue
		}
		*conditions = dated(*conditions, nil, now)
		out = append(out, is)
	}
	if len(out) == 0 && len(there) == 0 || reflect.DeepEqual(out, there) {
		return nil
	}
	return map[string]any{field: out}
}

// about is the index of the entry about that, or negative.
func (e entries[T]) about(all []T, ref *gatewayv1.ParentReference) int {
	return slices.IndexFunc(all, func(one T) bool {
		_, is, _ := e.of(&one)
		return reflect.DeepEqual(is, ref)
	})
}
