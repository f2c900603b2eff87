package eligible

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system is the installation's namespace.
const system = "eastway-system"

// service is default/shop with a TCP and a UDP port, changed.
func service(change func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{}
	s.Name, s.Namespace = "shop", "default"
	s.Annotations = map[string]string{v1alpha1.TakeoverAnnotation: "true"}
	s.Spec = corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1",
		Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80}, {Protocol: corev1.ProtocolUDP, Port: 53}},
	}
	change(s)
	return s
}

func TestCheck(t *testing.T) {
	t.Parallel()
	policy := func(p corev1.ServiceInternalTrafficPolicy) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = &p }
	}
	derivedAs := func(kind string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			s.Namespace, s.Labels = system, map[string]string{
				v1alpha1.DerivedLabel: kind, v1alpha1.ServiceNamespaceLabel: "default", v1alpha1.ServiceNameLabel: "cart",
			}
		}
	}
	tests := []struct {
		name   string
		change func(*corev1.Service)
		want   string // "" can be taken over
	}{
		{"usual", func(*corev1.Service) {}, ""},
		{"load balancer", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer }, ""},
		{"policy Cluster", policy(corev1.ServiceInternalTrafficPolicyCluster), ""},
		{"protocol not set", func(s *corev1.Service) { s.Spec.Ports = []corev1.ServicePort{{Port: 80}} }, ""},
		{"policy Local", policy(corev1.ServiceInternalTrafficPolicyLocal), "internalTrafficPolicy is Local"},
		{"headless", func(s *corev1.Service) { s.Spec.ClusterIP = corev1.ClusterIPNone }, "headless"},
		{"external name", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, "ExternalName"},
		{"only UDP", func(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[1:] }, "no TCP port"},
		{"ours", func(s *corev1.Service) { s.Namespace = system }, "Eastway's own"},
		{"API server", func(s *corev1.Service) { s.Name = "kubernetes" }, "API server"},
		{"made for an import", derivedAs(v1alpha1.DerivedImport), "Eastway made it for the import of default/cart"},
		{"made for a takeover", derivedAs(v1alpha1.DerivedTakeover), "default/cart, which is taken over already"},
		{"another's kubernetes", func(s *corev1.Service) { s.Name, s.Namespace = "kubernetes", "team" }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, remedy := Check(service(tt.change), system)
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("Check = %q, want %q", got, tt.want)
			}
			if (remedy == "") != (tt.want == "" || tt.name == "made for a takeover") {
				t.Errorf("remedy %q", remedy)
			}
		})
	}
}
