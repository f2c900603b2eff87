package eligible_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/takeover/eligible"
)

// A command explains why the node agents leave an annotated Service alone.
func ExampleCheck() {
	s := &corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}}}
	s.Namespace, s.Name = "shop", "dns"
	s.Annotations = map[string]string{v1alpha1.TakeoverAnnotation: "true"}
	reason, remedy := eligible.Check(s, "eastway-system")
	fmt.Println(eligible.Wanted(s))
	fmt.Println(reason)
	fmt.Println(remedy)
	// Output:
	// true
	// it has no TCP port: only TCP is taken over
	// UDP and SCTP stay in this cluster; nothing has to be done for that
}
