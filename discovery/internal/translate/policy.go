package translate

import (
	"fmt"

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
