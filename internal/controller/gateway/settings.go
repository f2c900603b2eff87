package gateway

import (
	"fmt"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Settings are what an installation says about the Services of Gateways.
type Settings struct {
	// EntryService is the Service in the installation's namespace that selects the entries' pods; "": there are none, and Gateways get
	// nothing.
	EntryService string
	// Type is LoadBalancer, NodePort or ClusterIP.
	Type corev1.ServiceType
	// ExternalTrafficPolicy is Cluster or Local; it does not count for ClusterIP.
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy
	// LoadBalancerClass counts for new Services of type LoadBalancer; "": the cluster's default.
	LoadBalancerClass string
}

// Flags adds the flags of the settings.
func (s *Settings) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.EntryService, "entry-service", "",
		"`name` of the Service that selects the entries' pods; with it, each Gateway gets a Service (default: Gateways are not looked at)")
	f.StringVar((*string)(&s.Type), "gateway-service-type", string(corev1.ServiceTypeLoadBalancer),
		"`type` of the Gateways' Services: LoadBalancer, NodePort or ClusterIP")
	f.StringVar((*string)(&s.ExternalTrafficPolicy), "gateway-external-traffic-policy", string(corev1.ServiceExternalTrafficPolicyCluster),
		"`policy` for traffic from outside to the Gateways' Services: Cluster, or Local, with which entries see clients' addresses")
	f.StringVar(&s.LoadBalancerClass, "gateway-load-balancer-class", "",
		"loadBalancerClass of the Gateways' new Services, a `name` (default: the cluster's)")
}

// Validate names the first flag that is wrong.
func (s *Settings) Validate() error {
	if wrong := validation.IsDNS1035Label(s.EntryService); s.EntryService != "" && len(wrong) > 0 {
		return fmt.Errorf("--entry-service %q: %s", s.EntryService, wrong[0])
	}
	switch s.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort, corev1.ServiceTypeClusterIP:
	default:
		return fmt.Errorf("--gateway-service-type %q: use LoadBalancer, NodePort or ClusterIP", s.Type)
	}
	switch s.ExternalTrafficPolicy {
	case corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal:
	default:
		return fmt.Errorf("--gateway-external-traffic-policy %q: use Cluster or Local", s.ExternalTrafficPolicy)
	}
	if wrong := validation.IsQualifiedName(s.LoadBalancerClass); s.LoadBalancerClass != "" && len(wrong) > 0 {
		return fmt.Errorf("--gateway-load-balancer-class %q: %s", s.LoadBalancerClass, wrong[0])
	}
	return nil
}
