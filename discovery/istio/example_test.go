package istio_test

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/istio"
)

func ExampleConvert() {
	entry := &istio.ServiceEntry{Spec: istio.EntrySpec{Hosts: []string{"mydb.com"}, Resolution: "DNS"}}
	entry.Name, entry.Namespace = "mydb", "shop"
	rule := &istio.DestinationRule{Spec: istio.RuleSpec{Host: "mydb.com", TrafficPolicy: &istio.TrafficPolicy{TLS: &istio.TLS{Mode: "ISTIO_MUTUAL"}}}}
	rule.Name, rule.Namespace = "mydb", "shop"

	for _, object := range []metav1.Object{entry, rule} {
		for _, f := range istio.Check(object, nil) {
			fmt.Printf("%s: %s: %s\n", f.Field, f.Effect, f.Message)
		}
	}
	fmt.Println(len(istio.Convert([]metav1.Object{entry, rule}).Externals))
	// Output:
	// spec.ports: refused: Required value: the ports that applications call
	// spec.trafficPolicy.tls: ignored: tunnels between clusters always use mutual TLS; inside a cluster the bytes of the caller are passed on
	// 0
}
