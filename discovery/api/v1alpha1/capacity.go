package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Capacity is what endpoints can take. MaxInFlightPerEndpoint follows Google Cloud's maxInFlightRequestsPerEndpoint; connections count
// too, so that it serves TCP.
type Capacity struct {
	// MaxInFlightPerEndpoint is how many requests of HTTP, or connections of other ports, an endpoint can have in flight, 1 to 1000000.
	// All proxies share it evenly. What is more goes to the next level that has room. Where nothing has, it is refused.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MaxInFlightPerEndpoint uint32 `json:"maxInFlightPerEndpoint"`
}

// InFlightPerEndpoint is how many calls each endpoint of the own cluster can have in flight; 0: any number.
func (p *TrafficPolicySpec) InFlightPerEndpoint() uint32 {
	if p == nil || p.Capacity == nil {
		return 0
	}
	return min(p.Capacity.MaxInFlightPerEndpoint, MaxInFlight)
}

func validateCapacity(at *field.Path, c *Capacity) field.ErrorList {
	if n := c.MaxInFlightPerEndpoint; n < 1 || n > MaxInFlight {
		return field.ErrorList{field.Invalid(at.Child("maxInFlightPerEndpoint"), n, "must be between 1 and 1000000")}
	}
	return nil
}
