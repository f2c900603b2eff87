package route

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Compile makes a Table of all that is valid, and says about each object what is not. Objects that are not for ControllerName have no status;
// a route that refers to no Gateway of these has an empty one.
func Compile(in *Manifests) (*Table, *Status) {
	return new(Kept).Compile(in)
}

func newCompiler(in *Manifests, kept *Kept) *compiler {
	return &compiler{
		in:       in,
		kept:     kept,
		good:     make(map[types.NamespacedName]*Certificate),
		services: byName(in.Services),
		imports:  byName(in.Imports),
		secrets:  byName(in.Secrets),
		grants:   make(grants),
		limits:   make(map[limited][]*Limit),

		headless: &headless{slices: slicesByService(in.Slices), ports: make(map[endpointPort]*Endpoints)},
		gateways: make(map[types.NamespacedName]*gateway),
	}
}

func (c *compiler) compile() (*Table, *Status) {
	status := &Status{
		Classes:  make(map[string][]metav1.Condition),
		Gateways: make(map[types.NamespacedName]gatewayv1.GatewayStatus),
		Routes:   make(map[types.NamespacedName][]gatewayv1.RouteParentStatus),

		GRPCRoutes:  make(map[types.NamespacedName][]gatewayv1.RouteParentStatus),
		TLSPolicies: make(map[types.NamespacedName][]gatewayv1.PolicyAncestorStatus),
	}
	for _, g := range c.in.Grants {
		c.grants[g.Namespace] = append(c.grants[g.Namespace], g)
	}
	c.addLimits()
	c.tls = newTLSPolicies(c)
	c.tls.read(c.in.TLSPolicies)
	classes := c.classes(status)
	gateways := c.addGateways(classes)
	for _, route := range inOrder(allRoutes(c.in)) {
		of := status.Routes
		if route.kind == kindGRPC {
			of = status.GRPCRoutes
		}
		if _, ok := of[nameOf(route)]; !ok {
			of[nameOf(route)] = c.attach(route)
		}
	}
	for _, g := range gateways {
		status.Gateways[g.name] = g.status()
	}
	for _, p := range c.tls.list {
		status.TLSPolicies[nameOf(p.object)] = p.status()
	}
	return c.table(gateways), status
}

type compiler struct {
	in       *Manifests
	kept     *Kept
	good     map[types.NamespacedName]*Certificate // of Secrets
	services map[types.NamespacedName]*corev1.Service
	imports  map[types.NamespacedName]*mcsv1beta1.ServiceImport
	secrets  map[types.NamespacedName]*corev1.Secret
	grants   grants
	limits   map[limited][]*Limit
	headless *headless

	tls      *tlsPolicies
	gateways map[types.NamespacedName]*gateway
	entries  int // in the Table
	regexes  int // instructions of all patterns there
}

// limited is the target of a policy: a service, route or Gateway.
type limited struct {
	kind string
	name types.NamespacedName
}

func (c *compiler) addLimits() {
	for _, p := range inOrder(c.in.Policies) {
		ref, limit := p.Spec.TargetRef, p.Spec.RateLimit
		if !ref.OfEntry() || limit == nil || len(v1alpha1.ValidateTrafficPolicy(p)) > 0 {
			continue
		}
		key := limited{kind: ref.Kind, name: types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}}
		c.limits[key] = append(c.limits[key], &Limit{Key: p.Namespace + "/" + p.Name, Rate: limit})
	}
}

// classes are the names of those that are Eastway's.
func (c *compiler) classes(status *Status) map[string]bool {
	ours := map[string]bool{DefaultClass: true}
	for _, class := range c.in.Classes {
		ours[class.Name] = class.Spec.ControllerName == ControllerName
		if !ours[class.Name] {
			continue
		}
		accepted := newCondition(gatewayv1.GatewayClassConditionStatusAccepted, true, gatewayv1.GatewayClassReasonAccepted, "")
		if class.Spec.ParametersRef != nil {
			accepted = newCondition(gatewayv1.GatewayClassConditionStatusAccepted, false, gatewayv1.GatewayClassReasonInvalidParameters,
				"spec.parametersRef: not supported: remove it")
			ours[class.Name] = false
		}
		status.Classes[class.Name] = observed(class.Generation, accepted)
	}
	return ours
}

// table of what is programmed.
func (c *compiler) table(gateways []*gateway) *Table {
	t := &Table{byPort: make(map[uint16]*byHost[*Listener])}
	ports := make(map[uint16]*Port)
	for _, g := range gateways {
		for _, l := range g.listeners {
			if !l.programmed() {
				continue
			}
			out := l.listener(c.limits[limited{kind: kindGateway, name: g.name}])
			p := ports[l.bound]
			if p == nil {
				p = &Port{Number: l.bound, TLS: out.TLS}
				if c.in.Bindings != nil {
					p.Owner = g.object.UID
				}
				ports[l.bound], t.byPort[l.bound] = p, &byHost[*Listener]{}
			}
			p.Listeners = append(p.Listeners, out)
			t.byPort[l.bound].set(out.Hostname, out)
		}
	}
	for _, p := range c.tls.list {
		if p.tls != nil && len(p.ancestors) > 0 {
			t.tls = append(t.tls, p.tls)
		}
	}
	for _, list := range c.limits {
		t.limits = append(t.limits, list...)
	}
	for _, number := range slices.Sorted(maps.Keys(ports)) {
		t.ports = append(t.ports, ports[number])
	}
	return t
}

// object is what all kinds of objects have.
type object interface {
	comparable
	metav1.Object
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func byName[T object](list []T) map[types.NamespacedName]T {
	out := make(map[types.NamespacedName]T, len(list))
	for _, o := range list {
		out[nameOf(o)] = o
	}
	return out
}

// inOrder are the objects from the oldest one on; of those that are equally old, by name.
func inOrder[T object](list []T) []T {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b T) int {
		return cmp.Or(
			older(a.GetCreationTimestamp().Time, b.GetCreationTimestamp().Time),
			strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName()),
		)
	})
	return list
}
