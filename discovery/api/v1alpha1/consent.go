package v1alpha1

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ExportRules are which exported services a peer may call. They only restrict: without a ServiceExport no peer has a service.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny)",message="must have allow or deny"
type ExportRules struct {
	// Allow are the only services that the peer may call; absent: all that are exported. Each is NAMESPACE/NAME, where * stands for any
	// namespace or any name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=127
	Allow []string `json:"allow,omitempty"`
	// Deny are services that the peer may not call, also if allow has them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=127
	Deny []string `json:"deny,omitempty"`
	// DryRun has these rules deny nothing: what they would deny is logged and counted.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// ImportRules are which of a peer's exports are used.
//
// +kubebuilder:validation:XValidation:rule="has(self.allow) || has(self.deny)",message="must have allow or deny"
type ImportRules struct {
	// Allow are the only services that are used of the peer; absent: all that it exports. Each is NAMESPACE/NAME, where * stands for any
	// namespace or any name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=127
	Allow []string `json:"allow,omitempty"`
	// Deny are services that are not used of the peer, also if allow has them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=127
	Deny []string `json:"deny,omitempty"`
}

// Decide returns whether the rules allow a service, and the field that decides, below spec.imports; "" if none does.
func (r *ImportRules) Decide(namespace, name string) (allowed bool, rule string) {
	if r == nil {
		return true, ""
	}
	return decide(r.Allow, r.Deny, namespace, name)
}

// Consents is true if allow names the namespace of a service and, in it, the service or all: a peer may then answer also for a service
// of the own cluster whose owner has not said so. A pattern for any namespace names none.
func (r *ImportRules) Consents(namespace, name string) bool {
	return r != nil && slices.ContainsFunc(r.Allow, func(p string) bool {
		return !strings.HasPrefix(p, "*") && MatchService(p, namespace, name)
	})
}

// Decide returns whether the rules allow a service, and the field that decides, below spec.exports; "" if none does.
func (r *ExportRules) Decide(namespace, name string) (allowed bool, rule string) {
	if r == nil {
		return true, ""
	}
	return decide(r.Allow, r.Deny, namespace, name)
}

// decide applies lists of patterns: deny comes before allow, and an absent allow is everything.
func decide(allow, deny []string, namespace, name string) (allowed bool, rule string) {
	matches := func(p string) bool { return MatchService(p, namespace, name) }
	if i := slices.IndexFunc(deny, matches); i >= 0 {
		return false, fmt.Sprintf("deny[%d]", i)
	}
	if i := slices.IndexFunc(allow, matches); i >= 0 {
		return true, fmt.Sprintf("allow[%d]", i)
	}
	if len(allow) > 0 {
		return false, "allow"
	}
	return true, ""
}

// MatchService is true if the pattern stands for the service. A pattern that is not valid matches nothing.
func MatchService(pattern, namespace, name string) bool {
	ns, n, ok := strings.Cut(pattern, "/")
	return ok && (ns == "*" || ns == namespace) && (n == "*" || n == name)
}

// checkServicePattern returns what is wrong with a pattern.
func checkServicePattern(pattern string) error {
	parts := strings.Split(pattern, "/")
	if len(parts) != 2 {
		return errors.New("must be NAMESPACE/NAME, such as shop/cart or shop/*")
	}
	for _, part := range parts {
		if part == "*" {
			continue
		}
		if strings.Contains(part, "*") {
			return errors.New("* stands for a whole namespace or name, not for a part of one")
		}
		if msgs := validation.IsDNS1123Label(part); len(msgs) > 0 {
			return errors.New("must be NAMESPACE/NAME, such as shop/cart or shop/*: " + msgs[0])
		}
	}
	return nil
}

// validateServices checks the lists of a rule: patterns, and that each can have an effect.
func validateServices(at *field.Path, allow, deny []string) field.ErrorList {
	errs := append(validatePatterns(at.Child("allow"), allow), validatePatterns(at.Child("deny"), deny)...)
	switch {
	case len(errs) > 0:
		return errs
	case len(allow)+len(deny) == 0: // perhaps a mistyped field that was dropped
		return field.ErrorList{field.Required(at, "allow or deny")}
	}
	for i, a := range allow {
		ns, name, _ := strings.Cut(a, "/") // * is a name that only * covers
		if j := slices.IndexFunc(deny, func(d string) bool { return MatchService(d, ns, name) }); j >= 0 {
			errs = append(errs, field.Invalid(at.Child("allow").Index(i), a,
				fmt.Sprintf("deny[%d], %s, covers it: it allows nothing; remove one of the two", j, deny[j])))
		}
	}
	return errs
}

func validatePatterns(at *field.Path, patterns []string) field.ErrorList {
	switch n := len(patterns); {
	case patterns != nil && n == 0:
		return field.ErrorList{field.Required(at, "at least one service: leave the field out, or deny */*")}
	case n > MaxServicePatterns:
		return field.ErrorList{field.TooMany(at, n, MaxServicePatterns)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, p := range patterns {
		if err := checkServicePattern(p); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), short(p), err.Error()))
		} else if seen[p] {
			errs = append(errs, field.Duplicate(at.Index(i), p))
		}
		seen[p] = true
	}
	return errs
}

// ParseExportTo reads the value of ExportToAnnotation: names of Peers, separated by commas, or * for all, which is nil. With
// an error the result is no Peer.
func ParseExportTo(value string) ([]string, error) {
	if strings.TrimSpace(value) == "*" {
		return nil, nil
	}
	names := strings.Split(value, ",")
	if len(names) > MaxExportTo {
		return []string{}, fmt.Errorf("%d names of Peers, at most %d", len(names), MaxExportTo)
	}
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
		switch msgs := validation.IsDNS1123Label(names[i]); {
		case names[i] == "":
			return []string{}, errors.New("must name Peers, separated by commas, or * for all; to export to none, delete the ServiceExport")
		case len(msgs) > 0:
			return []string{}, fmt.Errorf("%q is not the name of a Peer: %s", short(names[i]), msgs[0])
		case slices.Contains(names[:i], names[i]):
			return []string{}, fmt.Errorf("%q is named twice", names[i])
		}
	}
	slices.Sort(names)
	return names, nil
}
