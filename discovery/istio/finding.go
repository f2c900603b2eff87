package istio

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/internal/manifest"
)

// Effect is what becomes of a field.
type Effect string

// The effects.
const (
	// Ignored: the field makes no difference here.
	Ignored Effect = "ignored"
	// Changed: the field, or its absence, means something else here than in Istio; calls go where they would.
	Changed Effect = "changed"
	// Refused: nothing comes of the object, as calls would go elsewhere than it wants.
	Refused Effect = "refused"
)

// Finding is what there is to know about one field of an object.
type Finding struct {
	Field   string // such as "spec.trafficPolicy.tls"
	Effect  Effect
	Message string
}

// Unknown is a field that an object has and its type has not.
type Unknown struct {
	Field string
	// Near is a field that it may stand for, with a typing error; "" if there is none.
	Near string
}

// Unknowns takes the unknown fields out of the errors with which an object was decoded.
func Unknowns(errs []error) (unknown []Unknown, rest []error) {
	for _, err := range errs {
		at, ok := errors.AsType[*manifest.Error](err)
		if left, is := errors.AsType[*manifest.UnknownFieldError](err); ok && is {
			unknown = append(unknown, Unknown{Field: at.Field, Near: left.Near})
		} else {
			rest = append(rest, err)
		}
	}
	return unknown, rest
}

// Check returns what there is to know about an object by itself; unknown are the fields that were left out when it was decoded. Convert
// knows what depends on other objects.
func Check(object metav1.Object, unknown []Unknown) []Finding {
	return append(names(object), check(object, unknown)...)
}

// names are what is wrong with the object's own.
func names(object metav1.Object) (f findings) {
	for _, msg := range validation.IsDNS1123Subdomain(object.GetName()) {
		f.add(Refused, "metadata.name", "%s", msg)
	}
	for _, msg := range validation.IsDNS1123Label(object.GetNamespace()) {
		f.add(Refused, "metadata.namespace", "%s", msg)
	}
	return f
}

func check(object metav1.Object, unknown []Unknown) []Finding {
	switch o := object.(type) {
	case *DestinationRule:
		_, found := rule(o)
		return append(found, unsupportedOf(KindRule, unknown)...)
	case *ServiceEntry:
		_, found := entry(o)
		return append(found, unsupportedOf(KindEntry, unknown)...)
	case *VirtualService:
		r, found := route(o)
		if !r.mesh { // whatever else it has is for gateways
			return found
		}
		found = append(found, unsupportedOf(KindRoute, unknown)...)
		if r.empty() && Usable(found) {
			(*findings)(&found).add(Ignored, "spec", "nothing comes of it: calls go to the host in any case, and it sets neither timeout nor retries")
		}
		return found
	}
	return nil
}

// Usable is true if nothing is refused.
func Usable(found []Finding) bool {
	for _, f := range found {
		if f.Effect == Refused {
			return false
		}
	}
	return true
}

// findings gathers what is found.
type findings []Finding

func (f *findings) add(effect Effect, at, format string, args ...any) {
	*f = append(*f, Finding{Field: at, Effect: effect, Message: fmt.Sprintf(format, args...)})
}

// invalid adds what is wrong with a converted object; rename gives the field that each error is about.
func (f *findings) invalid(errs field.ErrorList, rename func(string) string) {
	for _, err := range errs {
		f.add(Refused, rename(err.Field), "%s", err.ErrorBody())
	}
}

// exported notes that an object which is for some namespaces holds for all.
func (f *findings) exported(to []string) {
	if len(to) > 0 && !slices.Contains(to, "*") {
		f.add(Changed, "spec.exportTo", "what comes of it holds for the callers of all namespaces, not only of %s", strings.Join(to, ", "))
	}
}
