package istio

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// wildcardAll is the host that covers everything, services outside too.
const wildcardAll = "*"

// draft is what one object sets for a target.
type draft struct {
	target  target
	of      metav1.Object
	rank    int
	field   string // that names the target
	host    string // in it
	refused bool   // it is not used, but would come before others
	secures bool   // it adds TLS
	spec    *v1alpha1.TrafficPolicySpec
	settings
}

// sets is false for a draft that does no more than stand before a wider one.
func (d *draft) sets() bool { return d.spec != nil || d.secures || !d.empty() }

// specific is greater for a host that covers less.
func (d *draft) specific() int {
	if strings.HasPrefix(d.host, "*") {
		return len(d.host)
	}
	return math.MaxInt
}

// compare orders drafts for the same target: one in its namespace, then one for all, then one for some callers; then the more specific one; then
// one that sets something, as Istio joins those of the same host. The older one is first already.
func compare(a, b *draft) int {
	last := func(d *draft) int {
		if d.sets() || d.refused {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.specific(), a.specific()), cmp.Compare(last(a), last(b)))
}

func (c *converter) add(to map[target][]*draft, d *draft) {
	switch d.of.GetNamespace() {
	case d.target.namespace:
	case rootNamespace:
		d.rank = 1
	default:
		d.rank = 2
	}
	at := d.target.service()
	if !c.ordered[at] {
		c.order = append(c.order, at)
	}
	c.ordered[at] = true
	to[at] = append(to[at], d)
}

// choose takes the first draft of each target.
func (c *converter) choose(from map[target][]*draft) map[target]*draft {
	out := map[target]*draft{}
	for _, at := range c.order {
		list := from[at]
		slices.SortStableFunc(list, compare)
		for _, d := range list {
			winner := out[at]
			if r, ok := d.of.(*DestinationRule); ok && (d.refused && winner == nil || winner != nil && d.rank > 1) {
				c.unused[at] = append(c.unused[at], r)
			}
			switch {
			case d.refused:
			case winner == nil:
				out[at] = d
			case winner.of == d.of || !d.sets() || d.specific() < winner.specific(): // so it is in Istio too
			default:
				c.find(d.of, Refused, d.field, "%s already has the policy of %s/%s: this one is ignored; join the two",
					at, winner.of.GetNamespace(), winner.of.GetName())
			}
		}
	}
	return out
}

// chosen is the draft that policies of a target are made of; nil if there is none, or none is needed.
func (c *converter) chosen(at target) *draft {
	rule, route := c.rules[at], c.routes[at]
	switch {
	case rule != nil && rule.spec != nil:
		return rule
	case route != nil && !route.empty():
		return route
	case rule == nil && route == nil, reflect.DeepEqual(c.spec(at), c.without(at)):
		return nil
	default: // it stands before a wider one
		return cmp.Or(rule, route)
	}
}

// policies joins what rules and routes set.
func (c *converter) policies() {
	taken, names := naming{}, map[target]string{}
	for _, at := range c.order { // unchanged names come first
		if d := c.chosen(at); d != nil && label(d.of.GetName()) == d.of.GetName() && taken.take(d.target.namespace, d.of.GetName()) {
			names[at] = d.of.GetName()
		}
	}
	for _, at := range c.order {
		d := c.chosen(at)
		if d == nil {
			continue
		}
		for _, name := range []string{label(d.of.GetName()), d.target.ref.Name, hashed(d.of.GetName(), d.of.GetNamespace(), at.String())} {
			if names[at] == "" && name != "" && taken.take(d.target.namespace, name) {
				names[at] = name
			}
		}
		p := &v1alpha1.TrafficPolicy{Spec: c.spec(at)}
		p.APIVersion, p.Kind = v1alpha1.GroupVersion, "TrafficPolicy"
		p.Name, p.Namespace = names[at], d.target.namespace
		p.CreationTimestamp = d.of.GetCreationTimestamp()
		p.Spec.TargetRef = d.target.ref
		c.out.Policies = append(c.out.Policies, Policy{p, d.of})
	}
}

// widest finds the draft that applies to a target: without one of its own, that of its namespace, or of all, as a service has one policy.
func widest(of map[target]*draft, at target) *draft {
	for _, t := range []target{at, {namespace: at.namespace}, {namespace: ownNamespace}} {
		d := of[t]
		if d != nil && (t == at || at.ref.Kind != v1alpha1.KindExternal || d.host == wildcardAll) {
			return d
		}
	}
	return nil
}

// without is what applies to a target that has no policy of its own.
func (c *converter) without(at target) v1alpha1.TrafficPolicySpec {
	switch wider := (target{namespace: at.namespace}); {
	case at != wider:
		return c.spec(wider)
	case at.namespace != ownNamespace:
		return c.spec(target{namespace: ownNamespace})
	default:
		return v1alpha1.TrafficPolicySpec{}
	}
}

// spec is what applies to a target.
func (c *converter) spec(at target) v1alpha1.TrafficPolicySpec {
	var out v1alpha1.TrafficPolicySpec
	if d := widest(c.rules, at); d != nil && d.spec != nil {
		out = *d.spec.DeepCopy()
	}
	d := widest(c.routes, at)
	if d == nil {
		return out
	}
	out.Timeout = d.timeout
	out.Retries = d.with(out.Retries)
	for i := range out.PortLevelSettings { // they replace everything
		port := &out.PortLevelSettings[i]
		port.Timeout, port.Retries = d.timeout, d.with(port.Retries)
	}
	return out
}

// with adds the budget of a rule to retries.
func (s *settings) with(rule *v1alpha1.Retries) *v1alpha1.Retries {
	if s.retries == nil {
		return rule
	}
	out := s.retries.DeepCopy()
	if rule != nil {
		out.Budget = rule.Budget
	}
	return out
}

// beside notes that the default of a namespace, or of all, holds for services outside too, which a rule for Services does not cover in Istio.
func (c *converter) beside() {
	own := map[target]bool{}
	for _, p := range c.out.Policies {
		own[target{p.Namespace, p.Spec.TargetRef}] = true
	}
	for _, of := range []map[target]*draft{c.rules, c.routes} {
		for _, x := range c.out.Externals {
			if own[externalTarget(x.ExternalService)] {
				continue
			}
			d := cmp.Or(of[target{namespace: x.Namespace}], of[target{namespace: ownNamespace}])
			if d != nil && d.sets() && d.host != wildcardAll {
				c.find(d.of, Changed, d.field, "holds for ExternalService %s/%s too, which has no policy of its own: write one for it, "+
					"without settings if it is to have none", x.Namespace, x.Name)
			}
		}
	}
}
