package route

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// attach attaches a route to the listeners that it refers to and that let it, and returns its status at each of its parents that are
// Eastway's.
func (c *compiler) attach(route *anyRoute) []gatewayv1.RouteParentStatus {
	parents := make([]gatewayv1.RouteParentStatus, 0, len(route.Spec.ParentRefs))
	var compiled *compiledRoute
	attached := make(map[*listener]bool)
	for i := range route.Spec.ParentRefs {
		ref := &route.Spec.ParentRefs[i]
		g := c.parent(route.Namespace, ref)
		if g == nil {
			continue
		}
		if compiled == nil {
			compiled = c.compileRoute(route)
		}
		c.tls.noteUse(g, compiled.uses)
		listeners, refused := c.choose(g, ref, route)
		if !refused.some() && crossed(listeners, route.kind, &refused) {
			listeners = nil
		}
		if !refused.some() {
			refused = compiled.invalid.clone()
		}
		for _, l := range listeners {
			if attached[l.listener] {
				continue
			}
			// A route that is not accepted may still guard its paths: what its filters must not let pass goes nowhere else.
			entries := compiled.entries
			if refused.some() {
				entries = compiled.guards
			}
			if len(entries) > 0 && !c.take(entries, len(l.hostnames)) {
				refused.add(string(gatewayv1.RouteReasonUnsupportedValue),
					"the entry has %d matches with %d instructions of regular expressions, and takes %d and %d: use fewer, or several entries",
					c.entries, c.regexes, maxEntries, maxRegexes)
				continue
			}
			attached[l.listener] = true
			if !refused.some() {
				l.attached++
				l.take(route.kind, l.hostnames)
			}
			for _, hostname := range l.hostnames {
				l.entries[hostname] = append(l.entries[hostname], entries...)
			}
		}
		parents = append(parents, gatewayv1.RouteParentStatus{
			ParentRef: *ref, ControllerName: ControllerName, Conditions: observed(route.Generation, compiled.conditions(&refused)...),
		})
	}
	return parents
}

// take counts entries for each of some hostnames; it is false if the Table cannot have them.
func (c *compiler) take(entries []*entry, hostnames int) bool {
	more, size := len(entries)*hostnames, 0
	for _, e := range entries {
		size += e.regexSize() * hostnames
	}
	if c.entries+more > maxEntries || c.regexes+size > maxRegexes {
		return false
	}
	c.entries += more
	c.regexes += size
	return true
}

// parent is the Gateway that a route refers to, if it is one of Eastway's.
func (c *compiler) parent(namespace string, ref *gatewayv1.ParentReference) *gateway {
	if ref.Group != nil && *ref.Group != groupGateway || ref.Kind != nil && *ref.Kind != kindGateway {
		return nil
	}
	if ref.Namespace != nil {
		namespace = string(*ref.Namespace)
	}
	return c.gateways[types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}]
}

// selected is a listener to which a route attaches, for these hostnames.
type selected struct {
	*listener
	hostnames []string
}

// isNamed: a reference to its Gateway means the listener, too.
func (l *listener) isNamed(ref *gatewayv1.ParentReference) bool {
	return (ref.SectionName == nil || *ref.SectionName == "" || *ref.SectionName == l.spec.Name) && (ref.Port == nil || *ref.Port == l.spec.Port)
}

func (l *listener) carriesHTTP() bool {
	return l.spec.Protocol == gatewayv1.HTTPProtocolType || l.spec.Protocol == gatewayv1.HTTPSProtocolType
}

// choose are the listeners of a Gateway to which a reference attaches a route, or why there are none.
func (c *compiler) choose(g *gateway, ref *gatewayv1.ParentReference, route *anyRoute) ([]selected, problems) {
	var out []selected
	named, carried, allowed := false, false, false
	for _, l := range g.listeners {
		if !l.isNamed(ref) {
			continue
		}
		named = true
		carried = carried || l.carriesHTTP()
		if !l.takes(route.kind) || !l.allows(route.Namespace, c.in.Namespaces[route.Namespace]) {
			continue
		}
		allowed = true
		if hostnames := l.intersect(route.Spec.Hostnames); len(hostnames) > 0 {
			out = append(out, selected{listener: l, hostnames: hostnames})
		}
	}
	var why problems
	switch {
	case len(out) > 0:
	case !named:
		why.add(string(gatewayv1.RouteReasonNoMatchingParent), "Gateway %s has no listener with this name and port: see its spec.listeners", g.name)
	case !carried:
		why.add(string(gatewayv1.RouteReasonNotAllowedByListeners),
			"the listeners of Gateway %s that it names carry no %s: their protocol has to be HTTP or HTTPS", g.name, route.kind)
	case !allowed:
		why.add(string(gatewayv1.RouteReasonNotAllowedByListeners),
			"allowedRoutes of Gateway %s's listeners let no %s of namespace %s attach", g.name, route.kind, route.Namespace)
	default:
		why.add(string(gatewayv1.RouteReasonNoMatchingListenerHostname),
			"Gateway %s has no listener with a hostname that spec.hostnames match", g.name)
	}
	return out, why
}

// crossed refuses a route if one of another kind that comes first has hostnames of it at a listener: Gateway API lets one of them have all.
func crossed(listeners []selected, kind gatewayv1.Kind, refused *problems) bool {
	for _, l := range listeners {
		for other, taken := range l.taken {
			for _, hostname := range l.hostnames {
				if other != kind && taken.meets(hostname) {
					refused.add(reasonHostnameConflict,
						"%s has a %s for hostname %q of this route, and that one comes first: it is older, or as old and before this one by name; "+
							"give each kind hostnames of its own", l.listener, other, hostname)
					return true
				}
			}
		}
	}
	return false
}

// take notes that a route of that kind has these hostnames.
func (l *listener) take(kind gatewayv1.Kind, hostnames []string) {
	if l.taken == nil {
		l.taken = make(map[gatewayv1.Kind]*hostSet)
	}
	if l.taken[kind] == nil {
		l.taken[kind] = newHostSet()
	}
	for _, h := range hostnames {
		l.taken[kind].add(h)
	}
}

// intersect are the hostnames that both the listener and a route match.
func (l *listener) intersect(hostnames []gatewayv1.Hostname) []string {
	if len(hostnames) == 0 {
		return []string{l.hostname}
	}
	var out []string
	for _, h := range hostnames[:min(len(hostnames), maxHostnames)] {
		if both, ok := intersection(l.hostname, string(h)); ok && !slices.Contains(out, both) {
			out = append(out, both)
		}
	}
	return out
}

// conditions of the route at a parent that refused it, or did not.
func (r *compiledRoute) conditions(refused *problems) []metav1.Condition {
	text := refused.text()
	if !refused.some() {
		text = r.unused.text()
	}
	list := []metav1.Condition{
		newCondition(gatewayv1.RouteConditionAccepted, !refused.some(), refused.or(string(gatewayv1.RouteReasonAccepted)), text),
		newCondition(gatewayv1.RouteConditionResolvedRefs, !r.unresolved.some(),
			r.unresolved.or(string(gatewayv1.RouteReasonResolvedRefs)), r.unresolved.text()),
	}
	if r.dropped.some() && !refused.some() {
		list = append(list, newCondition(gatewayv1.RouteConditionPartiallyInvalid, true, r.dropped.reason,
			fmt.Sprintf("Dropped Rule: %s", r.dropped.text())))
	}
	return list
}
