package istio

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The namespaces whose rules hold for all: Istio's, and Eastway's own.
const (
	rootNamespace = "istio-system"
	ownNamespace  = "eastway-system"
)

// Result is what comes of some objects.
type Result struct {
	Externals []External
	Policies  []Policy
	// Found is what depends on several objects; Check has the rest.
	Found []ObjectFinding
}

// External is an ExternalService and where it comes from.
type External struct {
	*v1alpha1.ExternalService
	Of *ServiceEntry
}

// Policy is a TrafficPolicy and where it comes from: a DestinationRule or, if there is none, a VirtualService.
type Policy struct {
	*v1alpha1.TrafficPolicy
	Of metav1.Object
}

// Field is the field of the object that a field of the policy comes from.
func (p *Policy) Field(path string) string {
	rest, _ := strings.CutPrefix(path, "spec.")
	switch _, isRoute := p.Of.(*VirtualService); {
	case strings.HasPrefix(rest, "targetRef") && isRoute:
		return "spec.hosts"
	case strings.HasPrefix(rest, "targetRef"):
		return "spec.host"
	case isRoute:
		return "spec.http"
	default:
		return "spec.trafficPolicy." + rest
	}
}

// ObjectFinding is about one of the objects.
type ObjectFinding struct {
	Of metav1.Object
	Finding
}

// Convert returns what comes of DestinationRules, ServiceEntries and VirtualServices together; it leaves out those that are not Usable by
// themselves. All have a namespace. Of several for the same service the oldest is used, by creationTimestamp, then in the order given.
func Convert(objects []metav1.Object) Result {
	objects = slices.SortedStableFunc(slices.Values(objects), func(a, b metav1.Object) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	c := converter{hosts: map[string][]target{}, rules: map[target]*draft{}, routes: map[target]*draft{}}
	each(objects, c.entry)
	each(objects, c.rule)
	each(objects, c.route)
	c.originate()
	c.policies()
	seen := map[ObjectFinding]bool{}
	c.out.Found = slices.DeleteFunc(c.out.Found, func(f ObjectFinding) bool { // several services of one object have the same
		known := seen[f]
		seen[f] = true
		return known
	})
	return c.out
}

func externalTarget(s *v1alpha1.ExternalService) target {
	return target{s.Namespace, v1alpha1.TargetRef{Group: v1alpha1.GroupOwn, Kind: v1alpha1.KindExternal, Name: s.Name}}
}

func each[T any](objects []metav1.Object, add func(T)) {
	for _, o := range objects {
		if v, ok := o.(T); ok {
			add(v)
		}
	}
}

// target is what a policy is for, and where it has to be.
type target struct {
	namespace string
	ref       v1alpha1.TargetRef
}

// service is the same for a Service and a ServiceImport: they are one.
func (t target) service() target {
	if t.ref.Kind == v1alpha1.KindImport {
		t.ref = v1alpha1.TargetRef{Kind: v1alpha1.KindService, Name: t.ref.Name}
	}
	return t
}

// draft is what one object sets for a target.
type draft struct {
	target target
	of     metav1.Object
	rank   int
	field  string // that names the target
	spec   *v1alpha1.TrafficPolicySpec
	settings
}

type converter struct {
	out           Result
	hosts         map[string][]target // of ServiceEntries
	rules, routes map[target]*draft
	order         []target
}

func (c *converter) find(of metav1.Object, effect Effect, at, format string, args ...any) {
	c.out.Found = append(c.out.Found, ObjectFinding{of, Finding{Field: at, Effect: effect, Message: fmt.Sprintf(format, args...)}})
}

func (c *converter) entry(e *ServiceEntry) {
	services, found := entry(e)
	if !Usable(found) {
		return
	}
	for _, s := range services {
		c.out.Externals = append(c.out.Externals, External{s, e})
		t := externalTarget(s)
		for _, h := range s.Spec.Hosts {
			name := resolve(h, s.Namespace).outside
			c.hosts[name] = append(c.hosts[name], t)
		}
	}
}

func (c *converter) rule(r *DestinationRule) {
	spec, found := rule(r)
	if !Usable(found) {
		return
	}
	for _, t := range c.targets(r, "spec.host", r.Spec.Host) {
		adds := t.ref.Kind == v1alpha1.KindExternal && c.hasTLS(r)
		if t.ref.Kind != v1alpha1.KindExternal {
			c.inside(r, t)
		}
		if spec != nil || adds {
			c.add(c.rules, &draft{target: t, of: r, field: "spec.host", spec: spec})
		}
	}
}

func (t target) String() string {
	if t.ref.IsZero() {
		return "all Services of " + t.namespace
	}
	return t.ref.Kind + " " + t.namespace + "/" + t.ref.Name
}

func (c *converter) route(v *VirtualService) {
	set, found := route(v)
	if !set.mesh || set.empty() || !Usable(found) {
		return
	}
	seen := map[target]bool{} // a name may be there in several forms
	for i, h := range v.Spec.Hosts {
		at := fmt.Sprintf("spec.hosts[%d]", i)
		for _, t := range c.targets(v, at, h) {
			if !seen[t.service()] && c.samePorts(v, &set, t) {
				c.add(c.routes, &draft{target: t, of: v, field: at, settings: set})
			}
			seen[t.service()] = true
		}
	}
}

// samePorts refuses destinations on another port than the one that a service outside has.
func (c *converter) samePorts(v *VirtualService, set *settings, t target) bool {
	same := true
	for _, p := range set.ports {
		for _, x := range c.out.Externals {
			if externalTarget(x.ExternalService) == t && (len(x.Spec.Ports) != 1 || x.Spec.Ports[0].Number != p.number) {
				c.find(v, Refused, p.field, otherPort)
				same = false
			}
		}
	}
	return same
}

// targets are those of a host of an object.
func (c *converter) targets(of metav1.Object, at, name string) []target {
	h := resolve(name, of.GetNamespace())
	if h.outside != "" {
		return c.externals(of, at, h)
	}
	t := target{namespace: h.namespace, ref: h.ref()}
	switch {
	case !h.valid():
		c.find(of, Refused, at, "%.80q is no name that a Service can have", name)
		return nil
	case h.namespace != "":
	case of.GetNamespace() == rootNamespace || of.GetNamespace() == ownNamespace:
		return []target{{namespace: ownNamespace}}
	default:
		c.find(of, Refused, at, "a policy for all services holds for all callers, not for those of %s: move it to %s",
			of.GetNamespace(), rootNamespace)
		return nil
	}
	c.foreign(of, at, t)
	return []target{t}
}

// externals are the services of ServiceEntries that a host covers.
func (c *converter) externals(of metav1.Object, at string, h host) []target {
	var out []target
	if _, exact := c.hosts[h.outside]; exact {
		out = slices.Clone(c.hosts[h.outside])
	} else if strings.HasPrefix(h.outside, "*") {
		for _, name := range slices.Sorted(maps.Keys(c.hosts)) {
			for _, t := range c.hosts[name] {
				if h.covers(name) && !slices.Contains(out, t) {
					out = append(out, t)
				}
			}
		}
	}
	if len(out) == 0 {
		c.find(of, Ignored, at, "no ServiceEntry here makes a service of %s: calls to it do not pass Eastway (a Service is NAME, or "+
			"NAME.NAMESPACE.svc.cluster.local)", h.outside)
	}
	for _, t := range out {
		c.foreign(of, at, t)
	}
	return out
}

// foreign notes that a rule for the callers of its own namespace holds for all.
func (c *converter) foreign(of metav1.Object, at string, t target) {
	if n := of.GetNamespace(); n != t.namespace && n != rootNamespace {
		c.find(of, Changed, at, "what comes of it holds for all callers of %s, not only for those of %s", t, n)
	}
}

// add takes a draft, unless another comes first: one in the namespace of its target, then one for all, then one for some callers.
func (c *converter) add(to map[target]*draft, d *draft) {
	switch d.of.GetNamespace() {
	case d.target.namespace:
	case rootNamespace:
		d.rank = 1
	default:
		d.rank = 2
	}
	at := d.target.service()
	if c.rules[at] == nil && c.routes[at] == nil {
		c.order = append(c.order, at)
	}
	winner, loser := to[at], d
	switch {
	case winner == nil:
		to[at] = d
		return
	case d.rank < winner.rank:
		winner, loser = d, winner
	}
	to[at] = winner
	c.find(loser.of, Refused, loser.field, "%s already has the policy of %s/%s: this one is ignored; join the two",
		at, winner.of.GetNamespace(), winner.of.GetName())
}

// policies joins what rules and routes set.
func (c *converter) policies() {
	taken := map[[2]string]bool{}
	for _, at := range c.order {
		d := cmp.Or(c.rules[at], c.routes[at])
		if d == nil || d.spec == nil && c.routes[at] == nil {
			continue // its service is gone, or it has nothing but TLS
		}
		name := label(d.of.GetName())
		if taken[[2]string{d.target.namespace, name}] {
			name = cmp.Or(d.target.ref.Name, name)
		}
		for i := 2; taken[[2]string{d.target.namespace, name}]; i++ {
			name = label(fmt.Sprintf("%.50s-%d", d.of.GetName(), i))
		}
		taken[[2]string{d.target.namespace, name}] = true
		p := &v1alpha1.TrafficPolicy{Spec: c.spec(at)}
		p.APIVersion, p.Kind = v1alpha1.GroupVersion, "TrafficPolicy"
		p.Name, p.Namespace = name, d.target.namespace
		p.CreationTimestamp = d.of.GetCreationTimestamp()
		p.Spec.TargetRef = d.target.ref
		c.out.Policies = append(c.out.Policies, Policy{p, d.of})
	}
}

// spec is what applies to a target: without a rule of its own, that of its namespace, or of all, as a service has one policy.
func (c *converter) spec(at target) v1alpha1.TrafficPolicySpec {
	var out v1alpha1.TrafficPolicySpec
	for _, t := range []target{at, {namespace: at.namespace}, {namespace: ownNamespace}} {
		if d := c.rules[t]; d != nil {
			if d.spec != nil {
				out = *d.spec.DeepCopy()
			}
			break
		}
	}
	d := c.routes[at]
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
