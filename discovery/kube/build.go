package kube

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/internal/translate"
)

// relevant is true if Eastway has anything to do with the service of that name.
func (w *world) relevant(at name) bool {
	if s := w.services[at]; s != nil && s.Annotations[v1alpha1.TakeoverAnnotation] == "true" {
		return true
	}
	return w.exports[at] != nil || w.outside[at] != nil || len(w.derived.of[at]) > 0
}

// relevantProblem is true if a problem of that kind is reported: most Services of a cluster have nothing to do with Eastway.
func (w *world) relevantProblem(kind string, about name) bool {
	return kind != kindService && kind != kindSlice || about.Namespace == w.namespace || w.relevant(about)
}

// build puts one service together; nil if it is not relevant.
func (w *world) build(at name) (*discovery.Service, []Problem) {
	own, outside, export := w.services[at], w.outside[at], w.exports[at]
	var problems []Problem
	if own != nil {
		for _, err := range translate.Ignored(own) { // perhaps that is why the Service is not relevant
			problems = append(problems, warning(kindService, own, err.Field, "%s", err.Detail))
		}
	}
	if !w.relevant(at) {
		return nil, problems
	}
	problems = append(problems, w.misfits(at)...)
	if own != nil {
		outside = nil
		if own.Spec.Type == corev1.ServiceTypeExternalName {
			own = nil
		}
	}
	var out *discovery.Service
	switch {
	case own != nil:
		var more []Problem
		out, more = w.buildOwn(at, own)
		problems = append(problems, more...)
	case outside != nil:
		out = translate.External(at, outside)
	case len(w.derived.of[at]) > 0:
		out, export = &discovery.Service{Name: at}, nil
	default:
		return nil, problems
	}
	if export != nil {
		out.Export, out.Private = translate.Export(export), false
	}
	return out, append(problems, w.derived.listen(out)...)
}

// misfits are the objects of one name that do not go together.
func (w *world) misfits(at name) []Problem {
	var problems []Problem
	own, outside, export := w.services[at], w.outside[at], w.exports[at]
	switch {
	case outside == nil:
	case own != nil:
		problems = append(problems, fault(kindExternal, outside, "metadata.name",
			"Service %s has this name: this ExternalService is ignored; give it another name", at))
	case len(outside.Spec.Addresses) > 0:
		problems = append(problems, warning(kindExternal, outside, "spec.addresses",
			"ignored on Kubernetes, where status.addresses are those that callers reach"))
	}
	switch {
	case export == nil:
	case own != nil && own.Spec.Type == corev1.ServiceTypeExternalName:
		problems = append(problems, fault(kindExport, export, "metadata.name",
			"Service %s is of type ExternalName, a DNS alias: it cannot be exported", at))
	case own == nil && outside == nil:
		problems = append(problems, warning(kindExport, export, "metadata.name", "there is no Service %s to export", at))
	}
	return problems
}

// buildOwn is what the own cluster has under that name, with its endpoints.
func (w *world) buildOwn(at name, own *corev1.Service) (*discovery.Service, []Problem) {
	var problems []Problem
	out := translate.Service(at, own)
	for _, ip := range translate.ClusterIPs(own) {
		out.Addresses = append(out.Addresses, ip.Addr)
	}
	if doubt := translate.CarriedAsTCP(own); doubt != nil {
		problems = append(problems, warning(kindService, own, doubt.Field, "%s", doubt.Detail))
	}
	endpoints := translate.NewEndpoints(out, w.places, w.loops.refuse)
	for _, n := range slices.Sorted(maps.Keys(w.slices[at])) {
		s := w.slices[at][n]
		doubts, refused := endpoints.Add(s)
		for _, p := range faults(kindSlice, s, doubts) {
			p.Warning = true
			problems = append(problems, p)
		}
		if refused != nil {
			problems = append(problems, faults(kindSlice, s, field.ErrorList{refused})...)
		}
	}
	out.Endpoints = endpoints.ByPort()
	return out, problems
}

// flushPolicies chooses the policy of each target that is dirty: the oldest one.
func (w *world) flushPolicies() {
	if len(w.dirtyPolicies) == 0 {
		return
	}
	next := w.local.Policies
	for at := range w.dirtyPolicies {
		delete(w.policy, at)
		next = next.Without(at)
		var chosen *v1alpha1.TrafficPolicy
		for _, p := range slices.SortedFunc(maps.Values(w.policies[at]), byAge[*v1alpha1.TrafficPolicy]) {
			if misfit, doubt := translate.Misfit(p, at, w.services[at] != nil, w.outside[at] != nil); misfit != nil {
				problem := fault(kindPolicy, p, misfit.Field, "%s", misfit.Detail)
				problem.Warning = doubt
				w.policy[at] = append(w.policy[at], problem)
				continue
			}
			if chosen != nil {
				w.policy[at] = append(w.policy[at], fault(kindPolicy, p, "spec.targetRef",
					"%s already has TrafficPolicy %s, which is older: this one is ignored; remove one of the two",
					translate.Subject(at), chosen.Name))
				continue
			}
			chosen = p
			if doubts := w.doubts(at, p); len(doubts) > 0 {
				w.policy[at] = append(w.policy[at], doubts...)
			}
			next = next.With(at, &p.Spec)
		}
	}
	clear(w.dirtyPolicies)
	w.local.Policies = next
}

// doubts are what in a policy fits nothing in this cluster.
func (w *world) doubts(at name, p *v1alpha1.TrafficPolicy) []Problem {
	var problems []Problem
	switch s, outside := w.services[at], w.outside[at]; {
	case at.Name == "": // a default
	case s == nil && outside != nil:
		for _, err := range translate.Doubts(p, translate.External(at, outside)) {
			problems = append(problems, warning(kindPolicy, p, err.Field, "%s", err.Detail))
		}
	case s == nil:
		problems = append(problems, warning(kindPolicy, p, "spec.targetRef.name", "%s", translate.NoTarget(p, at)))
	default:
		for _, err := range translate.Doubts(p, translate.Service(at, s)) {
			problems = append(problems, warning(kindPolicy, p, err.Field, "%s", err.Detail))
		}
	}
	return problems
}

// choosePeers leaves out those that have the identity of an older one.
func choosePeers(peers map[string]*v1alpha1.Peer) (map[string]*discovery.Peer, []Problem) {
	var problems []Problem
	chosen := map[string]*discovery.Peer{}
	owners := map[string]*v1alpha1.Peer{}
	for _, p := range slices.SortedFunc(maps.Values(peers), byAge[*v1alpha1.Peer]) {
		if owner := owners[p.Spec.SPIFFEID]; owner != nil {
			problems = append(problems, fault(kindPeer, p, "spec.spiffeID",
				"%q is already the identity of Peer %s, which is older: this one is ignored; remove one of the two",
				p.Spec.SPIFFEID, owner.Name))
			continue
		}
		owners[p.Spec.SPIFFEID] = p
		chosen[p.Name] = &discovery.Peer{Name: p.Name, Spec: p.Spec}
	}
	return chosen, problems
}

// found are the problems that showed only when objects were put together.
func (w *world) found() []Problem {
	problems := slices.Clone(w.peer)
	for _, of := range []map[name][]Problem{w.problems, w.policy} {
		for _, p := range of {
			problems = append(problems, p...)
		}
	}
	problems = append(problems, w.strangers()...)
	if n := len(w.beyond); n > 0 {
		problems = append(problems, Problem{
			Kind: kindService, Message: fmt.Sprintf("more than %d services are relevant to Eastway: %d of them are ignored", w.most, n),
		})
	}
	return problems
}

// strangers are exports to Peers that there are not.
func (w *world) strangers() []Problem {
	var problems []Problem
	if w.local.Peers == nil { // none was read yet
		return nil
	}
	for _, e := range w.exports {
		if e.Annotations[v1alpha1.ExportToAnnotation] == "" {
			continue
		}
		for _, to := range translate.Export(e).To {
			if w.local.Peers[to] == nil {
				problems = append(problems, warning(kindExport, e, "metadata.annotations["+v1alpha1.ExportToAnnotation+"]",
					"there is no Peer %s here: the service is exported to it once there is one", to))
			}
		}
	}
	return problems
}
