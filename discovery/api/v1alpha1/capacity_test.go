package v1alpha1

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestValidateCapacity(t *testing.T) {
	t.Parallel()
	for _, e := range []edit{
		requests("capacity: {maxInFlightPerEndpoint: 1}", ""),
		requests("capacity: {maxInFlightPerEndpoint: 1000000}", ""),
		requests("capacity: {}", `spec.capacity.maxInFlightPerEndpoint: Invalid value: 0: must be between 1 and 1000000`),
		requests("capacity: {maxInFlightPerEndpoint: 1000001}", `spec.capacity.maxInFlightPerEndpoint: Invalid value: 1000001`),
		requests("portLevelSettings: [{port: {number: 80}, capacity: {maxInFlightPerEndpoint: 0}}]",
			`spec.portLevelSettings[0].capacity.maxInFlightPerEndpoint: Invalid value: 0`),
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}

func TestInFlightPerEndpoint(t *testing.T) {
	t.Parallel()
	for want, p := range map[uint32]*TrafficPolicySpec{
		0: nil, 7: {Capacity: &Capacity{MaxInFlightPerEndpoint: 7}}, MaxInFlight: {Capacity: &Capacity{MaxInFlightPerEndpoint: 1 << 31}},
	} {
		if got := p.InFlightPerEndpoint(); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	if got := new(TrafficPolicySpec).InFlightPerEndpoint(); got != 0 {
		t.Errorf("%d without a capacity", got)
	}
}
