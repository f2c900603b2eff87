package netpol

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Pod is what policies see of a pod; without a Namespace it is an address outside of the cluster.
type Pod struct {
	Namespace               string
	NamespaceLabels, Labels map[string]string
	// Addresses; none: not known.
	Addresses []netip.Addr
	// Ports that have names.
	Ports []corev1.ContainerPort
	// Host: it has the node's network, where it is not defined what policies do.
	Host bool
}

// Port of a destination.
type Port struct {
	Number   int32
	Protocol corev1.Protocol
}

// Ingress returns the policies, as NAMESPACE/NAME, that select the pod and none of which allows connections from the other one to its port;
// none if they are allowed. From nil means from anywhere: one that lets anything in is enough.
func Ingress(policies []networkingv1.NetworkPolicy, pod, from *Pod, port Port) (deny []string) {
	return judge(policies, pod, networkingv1.PolicyTypeIngress, func(p *networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return ports(rule.Ports, pod, port) && peers(rule.From, p.Namespace, from)
		})
	})
}

// Egress is Ingress for connections of the pod to a port of the other one, nil for anywhere.
func Egress(policies []networkingv1.NetworkPolicy, pod, to *Pod, port Port) (deny []string) {
	return judge(policies, pod, networkingv1.PolicyTypeEgress, func(p *networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return ports(rule.Ports, to, port) && peers(rule.To, p.Namespace, to)
		})
	})
}

func judge(
	policies []networkingv1.NetworkPolicy, pod *Pod, kind networkingv1.PolicyType, allows func(*networkingv1.NetworkPolicy) bool,
) (deny []string) {
	if pod.Host {
		return nil
	}
	for i := range policies {
		p := &policies[i]
		if p.Namespace != pod.Namespace || !concerns(p, kind) || !selects(&p.Spec.PodSelector, pod.Labels, false) {
			continue
		}
		if allows(p) {
			return nil
		}
		deny = append(deny, p.Namespace+"/"+p.Name)
	}
	slices.Sort(deny)
	return deny
}

// concerns applies the default of policyTypes.
func concerns(p *networkingv1.NetworkPolicy, kind networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, kind)
	}
	return kind == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

// selects is unsure about a selector that is not valid.
func selects(selector *metav1.LabelSelector, set map[string]string, unsure bool) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return unsure
	}
	return s.Matches(labels.Set(set))
}

// ports reports whether one of the ports is the destination's; none are all.
func ports(list []networkingv1.NetworkPolicyPort, destination *Pod, port Port) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPort) bool {
		switch protocol := p.Protocol; {
		case protocol == nil && port.Protocol != corev1.ProtocolTCP, protocol != nil && *protocol != port.Protocol:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return destination == nil || destination.named(p.Port.StrVal, port)
		case p.EndPort != nil:
			return p.Port.IntVal <= port.Number && port.Number <= *p.EndPort
		default:
			return p.Port.IntVal == port.Number
		}
	})
}

// named reports whether the port has that name.
func (p *Pod) named(name string, port Port) bool {
	return slices.ContainsFunc(p.Ports, func(c corev1.ContainerPort) bool {
		protocol := c.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		return c.Name == name && c.ContainerPort == port.Number && protocol == port.Protocol
	})
}

// peers reports whether one of the peers may be the other side; none are all.
func peers(list []networkingv1.NetworkPolicyPeer, namespace string, other *Pod) bool {
	return len(list) == 0 || other == nil || other.Host || slices.ContainsFunc(list, func(p networkingv1.NetworkPolicyPeer) bool {
		if p.IPBlock != nil {
			return len(other.Addresses) == 0 || slices.ContainsFunc(other.Addresses, func(a netip.Addr) bool { return within(p.IPBlock, a) })
		}
		if other.Namespace == "" {
			return false
		}
		if p.NamespaceSelector == nil {
			return other.Namespace == namespace && selects(p.PodSelector, other.Labels, true)
		}
		return selects(p.NamespaceSelector, other.NamespaceLabels, true) && (p.PodSelector == nil || selects(p.PodSelector, other.Labels, true))
	})
}

// within is unsure about ranges that are not valid.
func within(block *networkingv1.IPBlock, address netip.Addr) bool {
	contains := func(cidr string, unsure bool) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return unsure
		}
		return prefix.Contains(address)
	}
	return contains(block.CIDR, true) && !slices.ContainsFunc(block.Except, func(cidr string) bool { return contains(cidr, false) })
}
