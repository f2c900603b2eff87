package check

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestTakeoverChecks(t *testing.T) {
	t.Parallel()
	service := func(change func(*corev1.Service)) *corev1.Service {
		s := &corev1.Service{}
		s.Namespace, s.Name = "shop", "cart"
		s.Spec.Type, s.Spec.ClusterIP = corev1.ServiceTypeClusterIP, "10.96.1.1"
		s.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
		if change != nil {
			change(s)
		}
		return s
	}
	run := func(w *world, s *corev1.Service) (out []Result, counts map[Level]int) {
		counts = Run(t.Context(), Takeover(w.open(), s), func(r Result) { out = append(out, r) })
		return out, counts
	}
	results, counts := run(newWorld(t), service(nil))
	if counts[Failed]+counts[Warning] > 0 {
		t.Errorf("%v", counts)
	}
	golden(t, "takeover.txt", text(results))
	local := corev1.ServiceInternalTrafficPolicyLocal
	for name, c := range map[string]struct {
		service func(*corev1.Service)
		spoil   func(*world)
		level   Level
		message string
		hint    string
	}{
		"headless": {
			func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }, nil,
			Failed, "it is headless", "cart.shop.svc.clusterset.local",
		},
		"external": {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, nil, Failed, "ExternalName", "type ClusterIP"},
		"local": {
			func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = &local }, nil,
			Failed, "internalTrafficPolicy", "kubectl -n shop patch service cart",
		},
		"only UDP":   {func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP }, nil, Failed, "no TCP port", "UDP"},
		"API server": {func(s *corev1.Service) { s.Namespace, s.Name = "default", "kubernetes" }, nil, Failed, "API server's own", "another name"},
		"derived": {func(s *corev1.Service) {
			s.Namespace, s.Name = ns, "ew-cart-import-x"
			s.Labels = map[string]string{
				v1alpha1.DerivedLabel: v1alpha1.DerivedImport, v1alpha1.ServiceNamespaceLabel: "shop", v1alpha1.ServiceNameLabel: "cart",
			}
		}, nil, Failed, "made it for the import of shop/cart", "eastway takeover shop/cart"},
		"not installed": {
			nil, func(w *world) { w.removePods("controller", "proxy", "node") },
			Failed, "there is no installation of Eastway", "helm install eastway charts/eastway -n eastway-system",
		},
		"no controller": {nil, func(w *world) { w.removePods("controller") }, Failed, "has no controller pods", "helm upgrade"},
		"no agents": {
			nil, func(w *world) { w.removeAgents() },
			Failed, "there are no node agents", "--set node.enabled=true --kube-context east",
		},
		"agents do not start": {nil, func(w *world) {
			w.removeAgents()
			w.server.Add(w.daemonSet())
		}, Failed, "DaemonSet eastway-node has no pods", "describe daemonset eastway-node"},
		"UDP too": {func(s *corev1.Service) {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 53, Protocol: corev1.ProtocolUDP})
		}, nil, Warning, "port 53/UDP stays with kube-proxy", ""},
		"nobody there": {func(s *corev1.Service) { s.Name = "basket" }, nil, Warning, "no endpoint would answer", "eastway export basket -n shop"},
		"bypassed":     {nil, func(w *world) { w.agent.Datapath.Bypassed = "x" }, Failed, "bypassed", "data path"},
	} {
		w := newWorld(t)
		if c.spoil != nil {
			c.spoil(w)
		}
		results, _ := run(w, service(c.service))
		if !slices.ContainsFunc(results, func(r Result) bool {
			return r.Level == c.level && strings.Contains(r.Message, c.message) && strings.Contains(r.Hint, c.hint)
		}) {
			t.Errorf("%s: no %s with %q and %q in\n%s", name, c.level, c.message, c.hint, text(results))
		}
	}
}
