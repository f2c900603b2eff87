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

// NoSuchPorts are the ports in portLevelSettings that the service does not have: peers may have them.
func NoSuchPorts(p *v1alpha1.TrafficPolicy, s *discovery.Service) []*field.Error {
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
