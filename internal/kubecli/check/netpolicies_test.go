package check

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// namespaced adds shop/stock with its pods, which this cluster exports, and pods in web.
func (w *world) namespaced() {
	for _, name := range []string{ns, "web", "shop"} {
		n := &corev1.Namespace{}
		n.Name, n.Labels = name, map[string]string{corev1.LabelMetadataName: name}
		w.server.Add(n)
	}
	s := &corev1.Service{}
	s.Namespace, s.Name = "shop", "stock"
	s.Spec.Selector = map[string]string{"app": "stock"}
	s.Spec.Ports = []corev1.ServicePort{
		{Port: 80, TargetPort: intstr.FromString("http")},
		{Port: 90, TargetPort: intstr.FromInt32(9090), Protocol: corev1.ProtocolTCP},
		{Port: 53, Protocol: corev1.ProtocolUDP},
	}
	w.server.Add(s)
	for _, of := range [][2]string{{"shop", "stock"}, {"shop", "other"}, {"web", "front"}} {
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name, pod.Labels = of[0], of[1]+"-1", map[string]string{"app": of[1]}
		pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}
		pod.Status.PodIPs = []corev1.PodIP{{IP: "10.1.0.5"}}
		w.server.Add(pod)
	}
}

// takesOver adds the Service that the controller derives of shop/stock.
func (w *world) takesOver() {
	d := &corev1.Service{}
	d.Namespace, d.Name = ns, "ew-stock"
	d.Labels = map[string]string{
		v1alpha1.DerivedLabel: v1alpha1.DerivedTakeover, v1alpha1.ServiceNamespaceLabel: "shop", v1alpha1.ServiceNameLabel: "stock",
	}
	d.Spec.Ports = []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(20003)}, {Port: 53, Protocol: corev1.ProtocolUDP}}
	w.server.Add(d)
}

func policyOf(t *testing.T, namespace, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return p
}

// asChart makes it one of the chart's.
func asChart(p *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	p.Labels = map[string]string{"app.kubernetes.io/name": "eastway", "app.kubernetes.io/instance": release}
	return p
}

const (
	denyAll = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
	// charts is as the chart has it.
	charts = `
podSelector: {matchLabels: {app.kubernetes.io/component: proxy}}
policyTypes: [Ingress, Egress]
egress: [{to: [{namespaceSelector: {}}, {ipBlock: {cidr: 0.0.0.0/0}}]}]
ingress: [{ports: [{port: 15443, protocol: TCP}, {port: 15443, protocol: UDP}, {port: 20000, endPort: 29999, protocol: TCP}]}]
`
	// selfOnly lets pods call those of their namespace.
	selfOnly = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}"
	// shopOnly lets pods call the pods of shop.
	shopOnly = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]}"
)

// What NetworkPolicies deny is found, and what the hint says to add allows it.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	type findings []string
	for name, c := range map[string]struct {
		policies func(*testing.T) []*networkingv1.NetworkPolicy
		takeover bool
		want     findings
	}{
		"the chart's alone": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{asChart(policyOf(t, ns, "eastway-proxy", charts))}
		}, takeover: true},
		"endpoints": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "shop", "deny", "{podSelector: {}}")}
		}, want: findings{
			"NetworkPolicy shop/deny does not allow ingress from the proxies to pods of shop/stock (port 8080) and shop/stock (port 9090): if",
		}},
		"one port of two": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{
				policyOf(t, "shop", "a", "{podSelector: {}, ingress: [{ports: [{port: http}]}]}"), policyOf(t, "shop", "b", "{podSelector: {}}"),
			}
		}, want: findings{"NetworkPolicies shop/a and shop/b do not allow ingress from the proxies to pods of shop/stock (port 9090): if"}},
		"other pods": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "shop", "deny", "{podSelector: {matchLabels: {app: other}}}")}
		}},
		"another namespace": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "web", "deny", denyAll)}
		}, takeover: true},
		"beside the chart's": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, ns, "deny", denyAll), asChart(policyOf(t, ns, "eastway-proxy", charts))}
		}, takeover: true},
		"proxies": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, ns, "deny", denyAll)}
		}, takeover: true, want: findings{
			"NetworkPolicy eastway-system/deny does not allow ingress to the proxies on TCP port 15443, where peers connect",
			"NetworkPolicy eastway-system/deny does not allow ingress to the proxies on UDP port 15443, where peers connect",
			"NetworkPolicy eastway-system/deny does not allow ingress to the proxies on TCP port 20003, where callers of shop/stock connect",
			"NetworkPolicy eastway-system/deny does not allow egress of the proxies to peer b at b.example.com:15443",
			"NetworkPolicy eastway-system/deny does not allow egress of the proxies to pods of shop/stock (port 8080) and shop/stock (port 9090)",
		}},
		"callers": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "web", "shop-only", shopOnly)}
		}, takeover: true, want: findings{
			"NetworkPolicy web/shop-only does not allow egress to the proxies, which take the calls of front-1 to shop/stock: if",
		}},
		"callers of what is not taken over": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "web", "shop-only", shopOnly)}
		}},
		"in the proxies' namespace": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, ns, "shop-only", shopOnly)}
		}, takeover: true},
		"callers beside it": {policies: func(t *testing.T) []*networkingv1.NetworkPolicy {
			return []*networkingv1.NetworkPolicy{policyOf(t, "shop", "self", selfOnly)}
		}, takeover: true, want: findings{
			"NetworkPolicy shop/self does not allow egress to the proxies, which take the calls of other-1 to shop/stock: if",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.namespaced()
			if c.takeover {
				w.takesOver()
			}
			policies := c.policies(t)
			for _, p := range policies {
				w.server.Add(p)
			}
			found := w.ofPolicies()
			if len(c.want) == 0 && (len(found) != 1 || found[0].Level != OK) || len(c.want) > 0 && len(found) != len(c.want) {
				t.Fatalf("%d results, want %q:\n%s", len(found), c.want, text(found))
			}
			for i, want := range c.want {
				if found[i].Level != Warning || !strings.HasPrefix(found[i].Message, want) || !strings.Contains(found[i].Message, enforced) {
					t.Errorf("%s %q, want %q", found[i].Level, found[i].Message, want)
				}
				obey(t, policies[0], found[i].Hint)
			}
			if len(c.want) > 0 {
				w.server.Add(policies[0])
				if found := w.ofPolicies(); len(found) != 1 || found[0].Level != OK {
					t.Errorf("after the hints: %s", text(found))
				}
			}
		})
	}
}

// obey adds to the policy what the hint says.
func obey(t *testing.T, p *networkingv1.NetworkPolicy, hint string) {
	t.Helper()
	where, rule, found := strings.Cut(strings.TrimSuffix(hint, " (listenerPorts of the chart)"), ": ")
	if !found {
		t.Fatalf("no rule in %q", hint)
	}
	var err error
	switch {
	case strings.HasPrefix(where, "add to spec.ingress of "):
		var rules []networkingv1.NetworkPolicyIngressRule
		err = yaml.UnmarshalStrict([]byte(rule), &rules)
		p.Spec.Ingress = append(p.Spec.Ingress, rules...)
	case strings.HasPrefix(where, "add to spec.egress of "):
		var rules []networkingv1.NetworkPolicyEgressRule
		err = yaml.UnmarshalStrict([]byte(rule), &rules)
		p.Spec.Egress = append(p.Spec.Egress, rules...)
	default:
		t.Fatalf("hint %q", hint)
	}
	if err != nil {
		t.Fatalf("%q: %v", rule, err)
	}
}

// ofPolicies are the results about NetworkPolicies.
func (w *world) ofPolicies() (found []Result) {
	results, _ := w.check(Options{})
	for _, r := range results {
		if r.Check == "network policies" {
			found = append(found, r)
		}
	}
	return found
}

// Without the right to see policies, or pods of applications, nothing is wrong.
func TestNetworkPoliciesForbidden(t *testing.T) {
	t.Parallel()
	for _, resource := range []string{"networkpolicies", "pods", "services"} {
		w := newWorld(t)
		w.namespaced()
		w.server.Add(policyOf(t, "shop", "deny", denyAll))
		f := newFacts(w.open(), Options{})
		if _, err := f.getProxies(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.server.Forbid("list", resource)
		if found := networkPolicies(t.Context(), f); len(found) != 1 || found[0].Level != Skipped || !strings.Contains(found[0].Message, resource) {
			t.Errorf("%s: %s", resource, text(found))
		}
	}
}

// One proxy that can is enough.
func TestBlocked(t *testing.T) {
	t.Parallel()
	j := &judge{proxies: []*policyPod{{name: "a"}, {name: "b"}, {name: "c"}}}
	if by := j.blocked(func(p *policyPod) []string { return map[string][]string{"a": {"x"}, "c": {"x"}}[p.name] }); by != nil {
		t.Errorf("by %q", by)
	}
	if by := j.blocked(func(*policyPod) []string { return []string{"x"} }); len(by) != 1 {
		t.Errorf("by %q", by)
	}
}
