package gateway

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func ingress(of ...corev1.LoadBalancerIngress) *corev1.Service {
	return &corev1.Service{
		Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIPs: []string{"10.0.0.1"}},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: of}},
	}
}

func at(ip, hostname string) corev1.LoadBalancerIngress {
	return corev1.LoadBalancerIngress{IP: ip, Hostname: hostname}
}

func node(name string, ready corev1.ConditionStatus, external, internal string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	if external != "" {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: external})
	}
	n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: internal})
	return n
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	ips := func(kind corev1.ServiceType, list ...string) *corev1.Service {
		return &corev1.Service{Spec: corev1.ServiceSpec{Type: kind, ClusterIPs: list, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
	}
	going, now := ingress(at("192.0.2.1", "")), metav1.Now()
	going.DeletionTimestamp = &now
	var many []corev1.LoadBalancerIngress
	for i := range 20 {
		many = append(many, at(fmt.Sprintf("192.0.2.%d", i+10), ""))
	}
	tooMany := make([]string, 0, maxAddresses)
	for i := range maxAddresses {
		tooMany = append(tooMany, fmt.Sprintf("IPAddress 192.0.2.%d", i+10))
	}
	for name, test := range map[string]struct {
		service *corev1.Service
		asked   []gatewayv1.AddressType
		nodes   []corev1.Node
		want    []string
	}{
		"no Service": {},
		"no address": {service: ingress()},
		"its end":    {service: going},
		"in order, once": {
			service: ingress(at("2001:db8::1", ""), at("203.0.113.1", ""), at("", "LB.example.com."),
				at("192.0.2.9", "a.example.com"), at("192.0.2.9", "")),
			want: []string{
				"IPAddress 192.0.2.9", "IPAddress 203.0.113.1", "IPAddress 2001:db8::1", "Hostname a.example.com", "Hostname lb.example.com",
			},
		},
		"what no address can be": {service: ingress(at("none", ""), at("", "_"), at("1.2.3", ""), at("", "*.example.com")), want: []string{
			"Hostname 1.2.3", "Hostname none",
		}},
		"too many": {service: ingress(many...), want: tooMany},
		"only IPs": {
			service: ingress(at("192.0.2.1", "a.example.com")), asked: []gatewayv1.AddressType{""}, want: []string{"IPAddress 192.0.2.1"},
		},
		"only names": {service: ingress(at("192.0.2.1", "")), asked: []gatewayv1.AddressType{gatewayv1.HostnameAddressType}},
		"cluster IPs": {
			service: ips(corev1.ServiceTypeClusterIP, "10.0.0.1", "fd00::1"), want: []string{"IPAddress 10.0.0.1", "IPAddress fd00::1"},
		},
		"headless":      {service: ips(corev1.ServiceTypeClusterIP, corev1.ClusterIPNone)},
		"no cluster IP": {service: ips(corev1.ServiceTypeLoadBalancer, "10.0.0.1")},
		"nodes' external": {service: ips(corev1.ServiceTypeNodePort, "10.0.0.1"), want: []string{"IPAddress 203.0.113.1"}, nodes: []corev1.Node{
			node("a", corev1.ConditionTrue, "203.0.113.1", "10.1.0.1"), node("b", corev1.ConditionFalse, "203.0.113.2", "10.1.0.2"),
		}},
		"nodes' internal": {service: ips(corev1.ServiceTypeNodePort, "10.0.0.1"), want: []string{"IPAddress 10.1.0.1"}, nodes: []corev1.Node{
			node("a", corev1.ConditionTrue, "", "10.1.0.1"),
		}},
	} {
		g := &gatewayv1.Gateway{}
		for _, kind := range test.asked {
			g.Spec.Addresses = append(g.Spec.Addresses, gatewayv1.GatewaySpecAddress{Type: &kind})
		}
		var got []string
		for _, a := range addresses(g, test.service, test.nodes) {
			got = append(got, string(*a.Type)+" "+a.Value)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestSameAddresses(t *testing.T) {
	t.Parallel()
	ip, host := gatewayv1.IPAddressType, gatewayv1.HostnameAddressType
	a := []gatewayv1.GatewayStatusAddress{{Type: &ip, Value: "192.0.2.1"}}
	if !sameAddresses(a, []gatewayv1.GatewayStatusAddress{{Value: "192.0.2.1"}}) {
		t.Error("without a type it is an IP")
	}
	for _, b := range [][]gatewayv1.GatewayStatusAddress{nil, {{Type: &host, Value: "192.0.2.1"}}, {{Type: &ip, Value: "192.0.2.2"}}} {
		if sameAddresses(a, b) {
			t.Errorf("the same as %+v", b)
		}
	}
}
