package apply

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OwnedBy reports whether o has that owner; always true for nil.
func OwnedBy(o metav1.Object, owner *metav1.OwnerReference) bool {
	return owner == nil || slices.ContainsFunc(o.GetOwnerReferences(), func(has metav1.OwnerReference) bool { return has.UID == owner.UID })
}
