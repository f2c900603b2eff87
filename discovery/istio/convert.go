package istio

import (
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

// Policy is a TrafficPolicy and where it comes from: a DestinationRule or, if none has settings, a VirtualService.
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
// themselves. All have a namespace. Of several for the same service the oldest is used, by creationTimestamp, then in the order given. Refused
// are rules that are not used for another reason: what they would have secured is left out too.
func Convert(objects []metav1.Object, refused ...*DestinationRule) Result {
	return convert(objects, refused, false)
}

// ConvertForCluster is Convert for what is applied to a cluster: there TLS takes Secrets, and no files.
func ConvertForCluster(objects []metav1.Object, refused ...*DestinationRule) Result {
	return convert(objects, refused, true)
}

func convert(objects []metav1.Object, refused []*DestinationRule, cluster bool) Result {
	c := converter{
		cluster: cluster,
		hosts:   map[string][]target{}, taken: naming{}, ordered: map[target]bool{},
		refused: map[*DestinationRule]bool{}, unused: map[target][]*DestinationRule{},
	}
	all := slices.Clone(objects)
	for _, r := range refused {
		c.refused[r] = true
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b metav1.Object) int {
		return a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time)
	})
	rules, routes := map[target][]*draft{}, map[target][]*draft{}
	c.entries(all)
	each(all, func(r *DestinationRule) { c.rule(rules, r) })
	each(all, func(v *VirtualService) { c.route(routes, v) })
	c.rules, c.routes = c.choose(rules), c.choose(routes)
	c.originate()
	c.policies()
	c.beside()
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

type converter struct {
	cluster       bool // as what is applied to a cluster
	out           Result
	taken         naming              // by ExternalServices
	hosts         map[string][]target // of ServiceEntries
	rules, routes map[target]*draft
	order         []target
	ordered       map[target]bool
	refused       map[*DestinationRule]bool
	unused        map[target][]*DestinationRule // rules that some callers of a service have in Istio, and not here
}

func (c *converter) find(of metav1.Object, effect Effect, at, format string, args ...any) {
	c.out.Found = append(c.out.Found, ObjectFinding{of, Finding{Field: at, Effect: effect, Message: fmt.Sprintf(format, args...)}})
}

// entries adds the services of all ServiceEntries.
func (c *converter) entries(objects []metav1.Object) {
	each(objects, func(e *ServiceEntry) {
		services, found := entry(e)
		if !Usable(found) {
			return
		}
		for _, s := range services {
			c.out.Externals = append(c.out.Externals, External{s, e})
		}
	})
	c.distinguish()
	for _, x := range c.out.Externals {
		t := externalTarget(x.ExternalService)
		for _, h := range x.Spec.Hosts {
			name := resolve(h, x.Namespace).outside
			c.hosts[name] = append(c.hosts[name], t)
		}
	}
}

func (c *converter) rule(to map[target][]*draft, r *DestinationRule) {
	spec, found := rule(r)
	if c.refused[r] || !Usable(found) {
		c.quietly(func() {
			for _, t := range c.targets(r, "spec.host", r.Spec.Host) {
				if t.ref.Kind == v1alpha1.KindExternal {
					c.add(to, &draft{target: t, of: r, host: r.Spec.Host, refused: true})
				}
			}
		})
		return
	}
	for _, t := range c.targets(r, "spec.host", r.Spec.Host) {
		adds := t.ref.Kind == v1alpha1.KindExternal && c.hasTLS(r)
		if t.ref.Kind != v1alpha1.KindExternal {
			c.inside(r, t)
		}
		c.add(to, &draft{target: t, of: r, field: "spec.host", host: r.Spec.Host, spec: spec, secures: adds})
	}
}

// quietly finds nothing.
func (c *converter) quietly(do func()) {
	n := len(c.out.Found)
	do()
	c.out.Found = c.out.Found[:n]
}

func (t target) String() string {
	if t.ref.IsZero() {
		return "all Services of " + t.namespace
	}
	return t.ref.Kind + " " + t.namespace + "/" + t.ref.Name
}

func (c *converter) route(to map[target][]*draft, v *VirtualService) {
	set, found := route(v)
	if !set.mesh || !Usable(found) {
		return
	}
	for i, h := range v.Spec.Hosts {
		at := fmt.Sprintf("spec.hosts[%d]", i)
		var list []target
		find := func() { list = c.targets(v, at, h) }
		if set.empty() { // nothing comes of it, as Check says, but that it stands before wider ones
			c.quietly(find)
		} else {
			find()
		}
		for _, t := range list {
			if c.samePorts(v, &set, t) {
				c.add(to, &draft{target: t, of: v, field: at, host: h, settings: set})
			}
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
