package istio_test

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/istio"
)

func ExampleConvert() {
	entry := &istio.ServiceEntry{Spec: istio.EntrySpec{Hosts: []string{"mydb.com"}, Resolution: "DNS"}}
	entry.Name, entry.Namespace = "mydb", "shop"
	for _, f := range istio.Check(entry, []istio.Unknown{{Field: "spec.endpoints[0].labels"}}) {
		fmt.Printf("%s: %s: %s\n", f.Field, f.Effect, f.Message)
	}
	fmt.Println(len(istio.Convert([]metav1.Object{entry}).Externals))

	entry.Spec.Ports = []v1alpha1.ExternalPort{{Number: 80, Name: "http", Protocol: "HTTP"}}
	fmt.Println(istio.Convert([]metav1.Object{entry}).Externals[0].Spec.Hosts)
	// Output:
	// spec.ports: refused: Required value: the ports that applications call
	// spec.endpoints[0].labels: ignored: there are no subsets that they would choose for
	// 0
	// [mydb.com]
}
