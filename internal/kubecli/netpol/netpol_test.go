package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// policies of the namespace shop, one for each spec.
func policies(t testing.TB, specs ...string) []networkingv1.NetworkPolicy {
	t.Helper()
	out := make([]networkingv1.NetworkPolicy, len(specs))
	for i, spec := range specs {
		if err := yaml.UnmarshalStrict([]byte(spec), &out[i].Spec); err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		out[i].Namespace, out[i].Name = "shop", fmt.Sprint("p", i+1)
	}
	return out
}

func cart() *Pod {
	return &Pod{
		Namespace: "shop", Labels: map[string]string{"app": "cart"}, NamespaceLabels: map[string]string{"name": "shop"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.5")},
		Ports:     []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}, {Name: "dns", ContainerPort: 8080, Protocol: corev1.ProtocolUDP}},
	}
}

func proxy() *Pod {
	return &Pod{
		Namespace: "system", Labels: map[string]string{"app": "proxy"}, NamespaceLabels: map[string]string{"name": "system"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.2.0.7"), netip.MustParseAddr("2001:db8::7")},
		Ports:     []corev1.ContainerPort{{Name: "listener", ContainerPort: 8080}},
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	tcp := Port{8080, corev1.ProtocolTCP}
	type list = []string
	p1 := list{"shop/p1"}
	in := func(rule string) string { return "{podSelector: {}, ingress: [" + rule + "]}" }
	out := func(rule string) string { return "{podSelector: {}, policyTypes: [Egress], egress: [" + rule + "]}" }
	for name, c := range map[string]struct {
		specs           list
		ingress, egress list // that deny connections between cart and proxy
		edit            func(cart, proxy *Pod)
		port            Port
	}{
		"none": {},
		"deny all": {
			specs:   list{"{podSelector: {}, policyTypes: [Ingress, Egress]}"},
			ingress: p1, egress: p1,
		},
		"without types, ingress alone": {specs: list{"{podSelector: {}}"}, ingress: p1},
		"without types, with egress rules": {
			specs:   list{"{podSelector: {}, egress: [{ports: [{port: 53}]}]}"},
			ingress: p1, egress: p1,
		},
		"egress alone":          {specs: list{"{podSelector: {}, policyTypes: [Egress]}"}, egress: p1},
		"other pods":            {specs: list{"{podSelector: {matchLabels: {app: x}}, policyTypes: [Ingress, Egress]}"}},
		"selector not valid":    {specs: list{"{podSelector: {matchExpressions: [{key: app, operator: Like}]}}"}},
		"by expression":         {specs: list{"{podSelector: {matchExpressions: [{key: app, operator: In, values: [cart]}]}}"}, ingress: p1},
		"another allows":        {specs: list{"{podSelector: {}}", in("{}")}},
		"another does not":      {specs: list{"{podSelector: {}}", in("{ports: [{port: 1}]}")}, ingress: list{"shop/p1", "shop/p2"}},
		"everything":            {specs: list{in("{}], egress: [{}")}},
		"own namespace alone":   {specs: list{in("{from: [{podSelector: {}}]}")}, ingress: p1},
		"namespace":             {specs: list{in("{from: [{namespaceSelector: {matchLabels: {name: system}}}]}")}},
		"namespace not valid":   {specs: list{in("{from: [{namespaceSelector: {matchExpressions: [{key: a, operator: x}]}}]}")}},
		"any namespace":         {specs: list{in("{from: [{namespaceSelector: {}}]}")}},
		"another namespace":     {specs: list{in("{from: [{namespaceSelector: {matchLabels: {name: x}}}]}")}, ingress: p1},
		"namespace and pods":    {specs: list{in("{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: proxy}}}]}")}},
		"namespace, other pods": {specs: list{in("{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}]}")}, ingress: p1},
		"one peer of two":       {specs: list{in("{from: [{podSelector: {}}, {namespaceSelector: {}}]}")}},
		"one rule of two":       {specs: list{in("{from: [{podSelector: {}}]}, {ports: [{port: 8080}]}")}},
		"range":                 {specs: list{in("{from: [{ipBlock: {cidr: 10.2.0.0/16}}]}")}},
		"IPv6 range":            {specs: list{in("{from: [{ipBlock: {cidr: '2001:db8::/32'}}]}")}},
		"another range":         {specs: list{in("{from: [{ipBlock: {cidr: 10.3.0.0/16}}]}")}, ingress: p1},
		"excepted":              {specs: list{in("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/24]}}]}")}, ingress: p1},
		"range not valid":       {specs: list{in("{from: [{ipBlock: {cidr: x}}]}")}},
		"address not known": {
			specs: list{in("{from: [{ipBlock: {cidr: 10.3.0.0/16}}]}")},
			edit:  func(_, proxy *Pod) { proxy.Addresses = nil },
		},
		"port":                 {specs: list{in("{ports: [{port: 8080}]}")}},
		"another port":         {specs: list{in("{ports: [{port: 80}]}")}, ingress: p1},
		"the other protocol":   {specs: list{in("{ports: [{port: 8080, protocol: UDP}]}")}, ingress: p1},
		"protocol alone":       {specs: list{in("{ports: [{protocol: TCP}]}")}},
		"UDP":                  {specs: list{in("{ports: [{port: 8080}]}")}, port: Port{8080, corev1.ProtocolUDP}, ingress: p1},
		"range of ports":       {specs: list{in("{ports: [{port: 8000, endPort: 8080}]}")}},
		"above the range":      {specs: list{in("{ports: [{port: 8000, endPort: 8079}]}")}, ingress: p1},
		"below the range":      {specs: list{in("{ports: [{port: 8081, endPort: 9000}]}")}, ingress: p1},
		"named port":           {specs: list{in("{ports: [{port: web}]}")}},
		"name of another port": {specs: list{in("{ports: [{port: web}]}")}, port: Port{81, corev1.ProtocolTCP}, ingress: p1},
		"name of none":         {specs: list{in("{ports: [{port: http}]}")}, ingress: p1},
		"name, other protocol": {specs: list{in("{ports: [{port: dns}]}")}, ingress: p1},
		"named port of the destination": {
			specs:  list{out("{ports: [{port: web}]}"), "{podSelector: {}, policyTypes: [Egress]}"},
			egress: list{"shop/p1", "shop/p2"},
		},
		"egress to a named port": {specs: list{out("{ports: [{port: listener}]}")}},
		"egress to pods":         {specs: list{out("{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: proxy}}}]}")}},
		"egress to own pods":     {specs: list{out("{to: [{podSelector: {}}]}")}, egress: p1},
		"on the host": {
			specs: list{"{podSelector: {}, policyTypes: [Ingress, Egress]}"}, edit: func(cart, _ *Pod) { cart.Host = true },
		},
		"the other one on the host": {
			specs: list{in("{from: [{podSelector: {}}]}")}, edit: func(_, proxy *Pod) { proxy.Host = true },
		},
		"the other one outside": {
			specs:   list{in("{from: [{namespaceSelector: {}}]}")},
			edit:    func(_, proxy *Pod) { *proxy = Pod{Addresses: proxy.Addresses} },
			ingress: p1,
		},
		"of another namespace": {
			specs: list{"{podSelector: {}, policyTypes: [Ingress, Egress]}"}, edit: func(cart, _ *Pod) { cart.Namespace = "other" },
		},
	} {
		from, to := cart(), proxy()
		if c.edit != nil {
			c.edit(from, to)
		}
		port := c.port
		if port == (Port{}) {
			port = tcp
		}
		all := policies(t, c.specs...)
		if got := Ingress(all, from, to, port); !slices.Equal(got, c.ingress) {
			t.Errorf("%s: ingress denied by %q, want %q", name, got, c.ingress)
		}
		if got := Egress(all, from, to, port); !slices.Equal(got, c.egress) {
			t.Errorf("%s: egress denied by %q, want %q", name, got, c.egress)
		}
	}
}

// From or to anywhere: one rule for that port is enough, whomever it is about.
func TestAnywhere(t *testing.T) {
	t.Parallel()
	all := policies(t, `
podSelector: {}
policyTypes: [Ingress, Egress]
ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 15443}]}]
egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: tunnel}]}]
`)
	if got := Ingress(all, cart(), nil, Port{15443, corev1.ProtocolTCP}); got != nil {
		t.Errorf("%q", got)
	}
	if got := Ingress(all, cart(), nil, Port{15443, corev1.ProtocolUDP}); len(got) != 1 {
		t.Errorf("UDP: %q", got)
	}
	if got := Egress(all, cart(), nil, Port{15443, corev1.ProtocolTCP}); got != nil {
		t.Errorf("a name may be any port: %q", got)
	}
}

func ExampleIngress() {
	var deny networkingv1.NetworkPolicy
	deny.Namespace, deny.Name = "shop", "deny-all" // it selects each pod, and allows nothing
	cart := &Pod{Namespace: "shop"}
	proxy := &Pod{Namespace: "eastway-system"}
	by := Ingress([]networkingv1.NetworkPolicy{deny}, cart, proxy, Port{8080, corev1.ProtocolTCP})
	fmt.Println("denied by", strings.Join(by, ", "))
	// Output: denied by shop/deny-all
}
