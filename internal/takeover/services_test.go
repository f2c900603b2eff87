package takeover

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/takeover/eligible"
)

const system = "eastway-system"

// wanted is a Service with the annotation, one TCP port 80 and one UDP port 53.
func wanted(name string, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{v1alpha1.TakeoverAnnotation: "true"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1"},
			Ports: []corev1.ServicePort{
				{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53},
			},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

// derived is the controller's Service for default/NAME, which gives its port 80 the target.
func derived(object, name string, target intstr.IntOrString, change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: object, Labels: map[string]string{
			v1alpha1.DerivedLabel: v1alpha1.DerivedTakeover, v1alpha1.ServiceNamespaceLabel: "default", v1alpha1.ServiceNameLabel: name,
		}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
			{Protocol: corev1.ProtocolUDP, Port: 80, TargetPort: intstr.FromInt32(29999)},
			{Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: target},
		}},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

// imported is the controller's Service for an import of default/NAME, at 10.96.1.1.
func imported(kind, name string, change ...func(*corev1.Service)) *corev1.Service {
	return derived(name, name, intstr.FromInt32(20007), append(change, func(s *corev1.Service) {
		s.Labels[v1alpha1.DerivedLabel], s.Spec.ClusterIPs = kind, []string{"10.96.1.1"}
	})...)
}

// localEndpoints is what the controller says of a taken-over Service's own endpoints.
func localEndpoints(value string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Annotations = map[string]string{v1alpha1.LocalEndpointsAnnotation: value} }
}

func TestServicesOf(t *testing.T) {
	t.Parallel()
	plain := wanted("plain", func(s *corev1.Service) { s.Annotations = nil })
	no := wanted("no", func(s *corev1.Service) { s.Annotations[v1alpha1.TakeoverAnnotation] = "false" })
	all := []*corev1.Service{
		plain, no,
		wanted("waiting"), wanted("headless", func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = "None", []string{"None"} }),
		wanted("shop", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }),
		derived("z", "shop", intstr.FromInt32(20009)), derived("a", "shop", intstr.FromInt32(20000), localEndpoints(v1alpha1.SomeLocalEndpoints)),
		wanted("named"), derived("b", "named", intstr.FromString("http"), localEndpoints(v1alpha1.NoLocalEndpoints)),
		// Not the controller's: another namespace, without a name. And an import of what waits for its own.
		derived("c", "waiting", intstr.FromInt32(1), func(s *corev1.Service) { s.Namespace = "team" }),
		derived("d", "waiting", intstr.FromInt32(2), func(s *corev1.Service) { s.Labels[v1alpha1.DerivedLabel] = v1alpha1.DerivedImport }),
		derived("e", "", intstr.FromInt32(3)),
		imported(v1alpha1.DerivedImport, "imp", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }),
		imported(v1alpha1.DerivedPod, "pod"), imported("another", "kind"),
		imported(v1alpha1.DerivedImport, "local", func(s *corev1.Service) {
			s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
		}),
	}
	addresses, importedAt := []netip.Addr{addr("10.96.0.1"), addr("fd00::1")}, []netip.Addr{addr("10.96.1.1")}
	importedPorts := []Port{{"UDP", 80, 0}, {"TCP", 80, 20007}}
	ports := func(target uint16) []Port { return []Port{{"TCP", 80, target}, {"UDP", 53, 0}} }
	headless, _ := eligible.Check(all[3], system)
	want := []Service{
		{Name: "default/headless", Refused: headless},
		{Name: "default/named", Addresses: addresses, Ports: ports(0), Alone: true},
		{Name: "default/shop", Addresses: addresses, Ports: ports(20000), Affinity: true},
		{Name: "default/waiting", Addresses: addresses, Ports: ports(0), Waiting: true},
		{Name: system + "/d", Carries: "default/waiting", Ports: []Port{{"UDP", 80, 0}, {"TCP", 80, 2}}, Alone: true},
		{Name: system + "/imp", Carries: "default/imp", Addresses: importedAt, Ports: importedPorts, Affinity: true, Alone: true},
		{Name: system + "/pod", Carries: "default/pod", Addresses: importedAt, Ports: importedPorts, Alone: true},
	}
	if got := servicesOf(all, system); !reflect.DeepEqual(got, want) {
		t.Errorf("servicesOf =\n%+v\nwant\n%+v", got, want)
	}
	// What the informer's store holds says the same, in less space.
	trim := trimService(system)
	for i, s := range all {
		trimmed, err := trim(s)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = trimmed.(*corev1.Service)
		matters := !slices.Contains([]string{"plain", "no", "c", "e"}, s.Name)
		if relevant(trimmed) != matters {
			t.Errorf("relevant(%s/%s) = %v", s.Namespace, s.Name, !matters)
		}
	}
	if got := servicesOf(all, system); !reflect.DeepEqual(got, want) {
		t.Errorf("after trimming servicesOf =\n%+v\nwant\n%+v", got, want)
	}
	if got := all[0]; got.Spec.Ports != nil || got.Spec.ClusterIPs != nil {
		t.Errorf("a Service that is not taken over is kept: %+v", got.Spec)
	}
	slices.Reverse(all)
	if got := servicesOf(all, system); !reflect.DeepEqual(got, want) {
		t.Errorf("in another order servicesOf =\n%+v\nwant\n%+v", got, want)
	}
}
