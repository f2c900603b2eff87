package v1alpha1

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ImportQuota is how much of what a peer exports is imported: in the order of names, up to the first service that does not fit.
type ImportQuota struct {
	// Services is how many; the default is 500. Each takes a cluster IP.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Services int32 `json:"services,omitempty"`
	// Ports is how many all of them together have, for a headless service those of each of its pods; the default is 2000. Each takes a
	// port on every proxy.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Ports int32 `json:"ports,omitempty"`
	// Pods is how many named pods of headless services; the default is 1000. Each takes a cluster IP.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Pods int32 `json:"pods,omitempty"`
}

// WithDefaults is the quota with a value in each field; q may be nil.
func (q *ImportQuota) WithDefaults() ImportQuota {
	if q == nil {
		q = &ImportQuota{}
	}
	return ImportQuota{
		Services: cmp.Or(q.Services, DefaultQuotaServices), Ports: cmp.Or(q.Ports, DefaultQuotaPorts), Pods: cmp.Or(q.Pods, DefaultQuotaPods),
	}
}

func (q *ImportQuota) validate(at *field.Path) field.ErrorList {
	if q == nil {
		return nil
	}
	var errs field.ErrorList
	for _, f := range []struct {
		name  string
		value int32
	}{{"services", q.Services}, {"ports", q.Ports}, {"pods", q.Pods}} {
		if f.value < 0 || f.value > MaxImportQuota {
			errs = append(errs, field.Invalid(at.Child(f.name), f.value, fmt.Sprintf("must be between 1 and %d", MaxImportQuota)))
		}
	}
	return errs
}
