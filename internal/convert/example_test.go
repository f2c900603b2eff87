package convert_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/eastway/eastway/internal/convert"
)

func ExampleNewCommand() {
	cmd := convert.NewCommand()
	cmd.SetArgs([]string{"-"})
	cmd.SetIn(strings.NewReader(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings, namespace: shop}
spec: {host: ratings, trafficPolicy: {loadBalancer: {simple: RANDOM}, tls: {mode: ISTIO_MUTUAL}}}
`))
	cmd.SetOut(os.Stdout)
	var notes strings.Builder
	cmd.SetErr(&notes)
	if err := cmd.Execute(); err != nil {
		fmt.Println(err)
	}
	fmt.Print(strings.SplitAfter(notes.String(), "ignored")[0])
	// Output:
	// apiVersion: eastway.dev/v1alpha1
	// kind: TrafficPolicy
	// metadata:
	//   name: ratings
	//   namespace: shop
	// spec:
	//   loadBalancer:
	//     simple: RANDOM
	//   targetRef:
	//     kind: Service
	//     name: ratings
	// stdin:4: DestinationRule shop/ratings: spec.trafficPolicy.tls: ignored
}
