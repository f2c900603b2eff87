package translate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Target is what a checked TrafficPolicy is for: a service, or as discovery.Local.Policies has them the services of a namespace or of
// the cluster; root is the namespace whose default is the cluster's.
func Target(namespace string, p *v1alpha1.TrafficPolicy, root string) discovery.ServiceName {
	switch {
	case !p.Spec.TargetRef.IsZero():
		return discovery.ServiceName{Namespace: namespace, Name: p.Spec.TargetRef.Name}
	case namespace == root:
		return discovery.ServiceName{}
	default:
		return discovery.ServiceName{Namespace: namespace}
	}
}

// NoTarget says that what a policy targets is not here.
func NoTarget(p *v1alpha1.TrafficPolicy, target discovery.ServiceName) string {
	if p.Spec.TargetRef.Kind == v1alpha1.KindExternal {
		return fmt.Sprintf("there is no ExternalService %s here; the policy applies once there is one", target)
	}
	return fmt.Sprintf("there is no Service %s here; the policy applies once a peer exports one", target)
}

// Misfit says why a policy does not apply to what has the name of its target; nil if it does. Where nothing has it, that is no more than a doubt.
func Misfit(p *v1alpha1.TrafficPolicy, target discovery.ServiceName, service, external bool) (fault *field.Error, doubt bool) {
	at := field.NewPath("spec", "targetRef")
	switch ref := p.Spec.TargetRef; {
	case ref.Fits(service, external):
		return nil, false
	case service:
		return InvalidField(at.Child("kind"), "Service %s has this name, and the policy is for an ExternalService: it is not used; "+
			"set targetRef to {kind: Service, name: %s} if it is for that", target, target.Name), false
	case external:
		return InvalidField(at.Child("kind"), "ExternalService %s has this name, and the policy is for a Service: it is not used; "+
			"set targetRef to {group: eastway.dev, kind: ExternalService, name: %s} if it is for that", target, target.Name), false
	default:
		return InvalidField(at.Child("name"), "%s", NoTarget(p, target)), true
	}
}

// Subject is the name of a Target in messages.
func Subject(target discovery.ServiceName) string {
	switch {
	case target.Name != "":
		return fmt.Sprintf("Service %s", target)
	case target.Namespace != "":
		return "namespace " + target.Namespace
	default:
		return "the cluster"
	}
}

// Doubts are what in a policy has no effect on the service as it is here; peers may have other ports.
func Doubts(p *v1alpha1.TrafficPolicy, s *discovery.Service) []*field.Error {
	return append(noSuchPorts(p, s), onlyHTTP(p, s)...)
}

// onlyHTTP are rules of rateLimit that need requests, where no port has them.
func onlyHTTP(p *v1alpha1.TrafficPolicy, s *discovery.Service) []*field.Error {
	var errs []*field.Error
	check := func(at *field.Path, r *v1alpha1.RateLimit, ports []discovery.ServicePort) {
		isHTTP := func(sp discovery.ServicePort) bool { return sp.HTTP }
		if r == nil || len(ports) == 0 || slices.ContainsFunc(ports, isHTTP) {
			return
		}
		for i := range r.Rules {
			if r.Rules[i].Match.OnlyHTTP() {
				errs = append(errs, InvalidField(at.Child("rateLimit", "rules").Index(i).Child("match"),
					"no port that the rule is for is HTTP: connections have no hosts, paths, methods or headers, and the rule limits nothing; "+
						"remove these fields, or set the port's protocol"))
			}
		}
	}
	others := slices.DeleteFunc(slices.Clone(s.Ports), func(sp discovery.ServicePort) bool { return sp.Protocol != discovery.TCP })
	for i := range p.Spec.PortLevelSettings {
		own := &p.Spec.PortLevelSettings[i]
		at := slices.IndexFunc(others, func(sp discovery.ServicePort) bool { return uint32(sp.Port) == own.Port.Number })
		if at < 0 {
			continue
		}
		check(field.NewPath("spec", "portLevelSettings").Index(i), own.RateLimit, others[at:at+1])
		others = slices.Delete(others, at, at+1)
	}
	check(field.NewPath("spec"), p.Spec.RateLimit, others)
	return errs
}

// noSuchPorts are the ports in portLevelSettings that the service does not have.
func noSuchPorts(p *v1alpha1.TrafficPolicy, s *discovery.Service) []*field.Error {
	var errs []*field.Error
	for i := range p.Spec.PortLevelSettings {
		number := p.Spec.PortLevelSettings[i].Port.Number
		known := slices.ContainsFunc(s.Ports, func(sp discovery.ServicePort) bool {
			return uint32(sp.Port) == number && sp.Protocol == discovery.TCP
		})
		if !known {
			at := field.NewPath("spec", "portLevelSettings").Index(i).Child("port", "number")
			errs = append(errs, InvalidField(at, "Service %s has no TCP port %d here; the settings apply once a peer exports one", s.Name, number))
		}
	}
	return errs
}
