package gateway

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/controller/identity"
)

// addresses at which clients reach a Gateway through its Service (nil: none), of the types that its spec asks for.
func addresses(g *gatewayv1.Gateway, s *corev1.Service, nodes []corev1.Node) []gatewayv1.GatewayStatusAddress {
	if s == nil || !s.DeletionTimestamp.IsZero() {
		return nil
	}
	var found []string
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		for _, in := range s.Status.LoadBalancer.Ingress {
			found = append(found, in.IP, in.Hostname)
		}
	case corev1.ServiceTypeNodePort:
		found = identity.NodeAddresses(nodes, s.Spec.IPFamilies)
	case corev1.ServiceTypeClusterIP:
		found = s.Spec.ClusterIPs
	}
	var ips []netip.Addr
	var hosts []string
	for _, a := range found {
		if ip, err := netip.ParseAddr(a); err == nil {
			ips = append(ips, ip)
		} else if host := strings.ToLower(strings.TrimSuffix(a, ".")); a != corev1.ClusterIPNone && len(validation.IsDNS1123Subdomain(host)) == 0 {
			hosts = append(hosts, host)
		}
	}
	// Their order has no meaning, and must not change by itself.
	slices.SortFunc(ips, netip.Addr.Compare)
	slices.Sort(hosts)
	var out []gatewayv1.GatewayStatusAddress
	add := func(kind gatewayv1.AddressType, value string) {
		if wants(g, kind) && len(out) < maxAddresses {
			out = append(out, gatewayv1.GatewayStatusAddress{Type: &kind, Value: value})
		}
	}
	for _, ip := range slices.Compact(ips) {
		add(gatewayv1.IPAddressType, ip.String())
	}
	for _, host := range slices.Compact(hosts) {
		add(gatewayv1.HostnameAddressType, host)
	}
	return out
}

// wants: the Gateway asks for addresses of this type, or for none in particular.
func wants(g *gatewayv1.Gateway, kind gatewayv1.AddressType) bool {
	return len(g.Spec.Addresses) == 0 ||
		slices.ContainsFunc(g.Spec.Addresses, func(a gatewayv1.GatewaySpecAddress) bool { return addressType(a.Type) == kind })
}

func addressType(t *gatewayv1.AddressType) gatewayv1.AddressType {
	if t == nil {
		return gatewayv1.IPAddressType
	}
	return cmp.Or(*t, gatewayv1.IPAddressType)
}

func sameAddresses(a, b []gatewayv1.GatewayStatusAddress) bool {
	return slices.EqualFunc(a, b, func(a, b gatewayv1.GatewayStatusAddress) bool {
		return addressType(a.Type) == addressType(b.Type) && a.Value == b.Value
	})
}

// withAddresses is the Gateway with this status alone, to be applied. An empty list is said: it replaces what another controller left.
func withAddresses(g *gatewayv1.Gateway, list []gatewayv1.GatewayStatusAddress) client.Object {
	all := make([]any, 0, len(list))
	for _, a := range list {
		all = append(all, map[string]any{"type": string(addressType(a.Type)), "value": a.Value})
	}
	return withStatus(g, map[string]any{"addresses": all})
}

// released is the Gateway with a status of nothing: what was applied before goes, and what another controller wrote stays.
func released(g *gatewayv1.Gateway) client.Object { return withStatus(g, map[string]any{}) }

func withStatus(g *gatewayv1.Gateway, status map[string]any) client.Object {
	u := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: gatewayv1.GroupVersion.Version, Kind: "Gateway"})
	u.SetNamespace(g.Namespace)
	u.SetName(g.Name)
	u.SetUID(g.UID)
	return u
}
