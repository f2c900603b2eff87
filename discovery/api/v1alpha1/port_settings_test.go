package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

const portsYAML = `
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop, namespace: default}
spec:
  targetRef: {kind: Service, name: shop}
  timeout: 5s
  portLevelSettings:
  - {port: {number: 80}, loadBalancer: {simple: RANDOM}}
  - {port: {number: 81}, timeout: 1s}
`

func TestValidatePorts(t *testing.T) {
	t.Parallel()
	ports := strings.Builder{}
	for i := range MaxPortSettings + 1 {
		fmt.Fprintf(&ports, "\n  - {port: {number: %d}}", i+1000)
	}
	for _, e := range []edit{
		{"", "", ""},
		{"number: 80", "number: 65535", ""},
		{"number: 80", "number: 0", `spec.portLevelSettings[0].port.number: Invalid value: 0: must be between 1 and 65535`},
		{"number: 80", "number: 65536", `spec.portLevelSettings[0].port.number: Invalid value: 65536: must be between 1 and 65535`},
		{"port: {number: 80}, ", "", `spec.portLevelSettings[0].port.number: Invalid value: 0: must be between 1 and 65535`},
		{"number: 81", "number: 80", `spec.portLevelSettings[1].port.number: Duplicate value: 80`},
		{"RANDOM", "PASSTHROUGH", `spec.portLevelSettings[0].loadBalancer.simple: Invalid value: "PASSTHROUGH"`},
		{"timeout: 1s", "timeout: 25h", `spec.portLevelSettings[1].timeout: Invalid value: "25h0m0s"`},
		{
			"timeout: 1s", "outlierDetection: {interval: 1ms}",
			`spec.portLevelSettings[1].outlierDetection.interval: Invalid value: "1ms": must be between 100ms and 24h0m0s`,
		},
		{"portLevelSettings:", "portLevelSettings:" + ports.String(), `spec.portLevelSettings: Too many: 67: must have at most 64 items`},
	} {
		p := new(TrafficPolicy)
		check(t, portsYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}
