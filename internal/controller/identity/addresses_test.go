package identity

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/peering"
)

func node(name, zone string, external string, edit ...func(*corev1.Node)) corev1.Node {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: zone}},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: "10.0.0." + name}, {Type: corev1.NodeHostName, Address: name},
			},
		},
	}
	if external != "" {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: external})
	}
	for _, f := range edit {
		f(&n)
	}
	return n
}

func tunnelService(nodePorts ...int32) *corev1.Service {
	s := &corev1.Service{Spec: corev1.ServiceSpec{IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
	for i, p := range nodePorts {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Port: 15443, NodePort: p, Protocol: []corev1.Protocol{"TCP", "UDP"}[i%2],
		})
	}
	return s
}

func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	balancer := func(in ...corev1.LoadBalancerIngress) *corev1.Service {
		s := tunnelService(30001, 30001)
		s.Status.LoadBalancer.Ingress = in
		return s
	}
	withIPs := tunnelService(0, 0)
	withIPs.Spec.ExternalIPs = []string{"203.0.113.9"}
	notReady := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	excluded := func(n *corev1.Node) { n.Labels[excludedNodeLabel] = "" }
	type (
		list  = []string
		nodes = []corev1.Node
		some  = []*corev1.Service
		lb    = corev1.LoadBalancerIngress
	)
	of := func(families ...corev1.IPFamily) some {
		s := tunnelService(30001)
		s.Spec.IPFamilies = families
		return some{s}
	}
	both := func(n *corev1.Node) {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "2001:db8::" + n.Name})
	}
	var many nodes
	for i := range 2 * maxNodes {
		many = append(many, node(fmt.Sprint(i+1), "z", "", both))
	}
	inside, outside := node("1", "z", ""), node("1", "z", "198.51.100.1")
	ports := some{tunnelService(30001)}
	for name, tc := range map[string]struct {
		services some
		nodes    nodes
		want     list
		from     string
	}{
		"nothing":               {nil, nil, nil, peering.FromNowhere},
		"no node":               {ports, nil, nil, peering.FromNowhere},
		"load balancer":         {some{balancer(lb{IP: "203.0.113.1"})}, nodes{inside}, list{"203.0.113.1:15443"}, peering.FromLoadBalancer},
		"load balancer by name": {some{balancer(lb{Hostname: "lb.example.com."})}, nil, list{"lb.example.com:15443"}, peering.FromLoadBalancer},
		"IPv6":                  {some{balancer(lb{IP: "2001:db8::1"})}, nil, list{"[2001:db8::1]:15443"}, peering.FromLoadBalancer},
		"one for each protocol": {
			some{balancer(lb{IP: "203.0.113.1"}), balancer(lb{IP: "203.0.113.2"})},
			nil,
			list{"203.0.113.1:15443", "203.0.113.2:15443"},
			peering.FromLoadBalancer,
		},
		"one of two has an address": {
			some{balancer(), balancer(lb{IP: "203.0.113.2"})}, nodes{inside}, list{"203.0.113.2:15443"}, peering.FromLoadBalancer,
		},
		"pending: node ports":          {some{balancer()}, nodes{outside}, list{"198.51.100.1:30001"}, peering.FromNodePorts},
		"external IPs":                 {some{withIPs}, nodes{inside}, list{"203.0.113.9:15443"}, peering.FromExternalIPs},
		"external node addresses only": {ports, nodes{outside, node("2", "z", "")}, list{"198.51.100.1:30001"}, peering.FromNodePorts},
		"internal if there are no other": {
			some{tunnelService(30001, 30001)},
			nodes{node("2", "z", ""), inside},
			list{"10.0.0.1:30001", "10.0.0.2:30001"},
			peering.FromNodePorts,
		},
		"a port for each protocol": {
			some{tunnelService(30001, 30002)}, nodes{inside}, list{"10.0.0.1:30001", "10.0.0.1:30002"}, peering.FromNodePorts,
		},
		"IPv6 of two families": {of(corev1.IPv6Protocol), nodes{node("1", "z", "", both)}, list{"[2001:db8::1]:30001"}, peering.FromNodePorts},
		"both families": {
			of(corev1.IPv4Protocol, corev1.IPv6Protocol),
			nodes{node("1", "z", "", both), inside},
			list{"10.0.0.1:30001", "[2001:db8::1]:30001"},
			peering.FromNodePorts,
		},
		"IPv6 is internal": {
			of(corev1.IPv4Protocol, corev1.IPv6Protocol),
			nodes{node("1", "z", "198.51.100.1", both)},
			list{"198.51.100.1:30001", "[2001:db8::1]:30001"},
			peering.FromNodePorts,
		},
		"many of both families": {
			of(corev1.IPv6Protocol, corev1.IPv4Protocol),
			many,
			list{
				"10.0.0.1:30001", "10.0.0.10:30001", "10.0.0.11:30001", "10.0.0.12:30001",
				"[2001:db8::1]:30001", "[2001:db8::10]:30001", "[2001:db8::11]:30001", "[2001:db8::12]:30001",
			},
			peering.FromNodePorts,
		},
		"a family that no node has": {of(corev1.IPv6Protocol), nodes{inside}, nil, peering.FromNowhere},
		"only nodes that serve": {
			ports,
			nodes{node("1", "z", "", notReady), node("2", "z", "", excluded), node("3", "z", "")},
			list{"10.0.0.3:30001"},
			peering.FromNodePorts,
		},
	} {
		got, from := publicAddresses(tc.services, tc.nodes)
		if !slices.Equal(got, tc.want) || from != tc.from {
			t.Errorf("%s: %v from %s, want %v from %s", name, got, from, tc.want, tc.from)
		}
	}
}

// Of many nodes a few are named, of every zone.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	var nodes []corev1.Node
	for i := range 40 {
		zone := "a"
		if i >= 38 {
			zone = "b"
		}
		nodes = append(nodes, node(fmt.Sprint(10+i), zone, ""))
	}
	got, _ := publicAddresses([]*corev1.Service{tunnelService(30001)}, nodes)
	if len(got) != maxNodes || !slices.Contains(got, "10.0.0.48:30001") || !slices.Contains(got, "10.0.0.49:30001") {
		t.Errorf("%v", got)
	}
}
