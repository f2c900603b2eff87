package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RateLimit bounds how often the endpoints of the own cluster are called, by token buckets. It is Eastway's own: Istio has it only as an
// EnvoyFilter.
type RateLimit struct {
	// Rules each have a token bucket. A call takes a token from the bucket of each rule that it matches; if one of them is empty, the call is
	// refused and takes none.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Rules []RateLimitRule `json:"rules"`
}

// RateLimitRule is one token bucket.
type RateLimitRule struct {
	// Quota is how many tokens the bucket holds, and gets in fillInterval, 1 to 1000000: all proxies of the cluster together.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Quota uint32 `json:"quota"`
	// FillInterval is the time over which an empty bucket fills evenly, 10ms to 1h.
	FillInterval metav1.Duration `json:"fillInterval"`
	// Match selects the calls that count. All of its fields have to match; without it, every call counts.
	// +optional
	Match RateLimitMatch `json:"match,omitzero"`
}

// RateLimitMatch selects calls. A field matches if one of its values does, headers only if all do. Connections of TCP match only rules
// without hosts, pathPrefixes, methods and headers.
type RateLimitMatch struct {
	// Hosts are DNS names, without a port; "*.example.com" stands for all names below example.com.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Hosts []string `json:"hosts,omitempty"`
	// PathPrefixes match whole elements of the path, as in Gateway API: /cart stands for /cart and /cart/items, not for /cartoon.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^/`
	PathPrefixes []string `json:"pathPrefixes,omitempty"`
	// Methods are HTTP methods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Z_-]{0,31}$`
	Methods []string `json:"methods,omitempty"`
	// Headers have to be there with exactly these values.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Headers []HeaderMatch `json:"headers,omitempty"`
	// Clusters are those in which the caller may run: peers, or the own one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	Clusters []string `json:"clusters,omitempty"`
}

// HeaderMatch is a header with an exact value.
type HeaderMatch struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// OnlyHTTP is true when no connection of TCP matches.
func (m *RateLimitMatch) OnlyHTTP() bool {
	return len(m.Hosts)+len(m.PathPrefixes)+len(m.Methods)+len(m.Headers) > 0
}

func validateRateLimit(at *field.Path, r *RateLimit) field.ErrorList {
	at = at.Child("rules")
	switch n := len(r.Rules); {
	case n == 0:
		return field.ErrorList{field.Required(at, "at least one rule, such as {quota: 100, fillInterval: 1s}")}
	case n > MaxRateLimitRules:
		return field.ErrorList{field.TooMany(at, n, MaxRateLimitRules)}
	}
	var errs field.ErrorList
	for i := range r.Rules {
		rule, at := &r.Rules[i], at.Index(i)
		if rule.Quota < 1 || rule.Quota > MaxQuota {
			errs = append(errs, field.Invalid(at.Child("quota"), rule.Quota, fmt.Sprintf("must be between 1 and %d", MaxQuota)))
		}
		errs = append(errs, duration(at.Child("fillInterval"), &rule.FillInterval, MinFillInterval, MaxFillInterval)...)
		errs = append(errs, validateRateLimitMatch(at.Child("match"), &rule.Match)...)
	}
	return errs
}

func validateRateLimitMatch(at *field.Path, m *RateLimitMatch) field.ErrorList {
	return slices.Concat(
		eachValue(at.Child("hosts"), m.Hosts, hostPattern),
		eachValue(at.Child("pathPrefixes"), m.PathPrefixes, pathPrefix),
		validateMethods(at.Child("methods"), m.Methods),
		validateHeaderMatches(at.Child("headers"), m.Headers),
		eachValue(at.Child("clusters"), m.Clusters, validation.IsDNS1123Label),
	)
}

// eachValue checks the values of a list; check returns what is wrong with one.
func eachValue(at *field.Path, list []string, check func(string) []string) field.ErrorList {
	if n := len(list); n > MaxRateLimitValues {
		return field.ErrorList{field.TooMany(at, n, MaxRateLimitValues)}
	}
	var errs field.ErrorList
	for i, v := range list {
		for _, msg := range check(v) {
			errs = append(errs, field.Invalid(at.Index(i), short(v), msg))
		}
	}
	return errs
}

func hostPattern(host string) []string {
	name := strings.TrimPrefix(host, "*.")
	if len(name) > validation.DNS1123SubdomainMaxLength || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return []string{"must be a DNS name in lower case without a port, such as shop.example.com or *.example.com"}
	}
	return nil
}

func pathPrefix(path string) []string {
	switch {
	case !strings.HasPrefix(path, "/"):
		return []string{"must begin with /"}
	case len(path) > MaxMatchValue:
		return []string{fmt.Sprintf("must be at most %d bytes long", MaxMatchValue)}
	}
	return nil
}

func validateHeaderMatches(at *field.Path, headers []HeaderMatch) field.ErrorList {
	if n := len(headers); n > MaxRateLimitValues {
		return field.ErrorList{field.TooMany(at, n, MaxRateLimitValues)}
	}
	var errs field.ErrorList
	for i, h := range headers {
		name, value := at.Index(i).Child("name"), at.Index(i).Child("value")
		switch {
		case strings.EqualFold(h.Name, "host"):
			errs = append(errs, field.Invalid(name, h.Name, "is matched by hosts"))
		case len(h.Name) > MaxHashKey:
			errs = append(errs, field.TooLong(name, "", MaxHashKey))
		default:
			errs = append(errs, named(name, h.Name, "the name of a header", validation.IsHTTPHeaderName)...)
		}
		switch {
		case h.Value == "":
			errs = append(errs, field.Required(value, "the exact value of the header"))
		case len(h.Value) > MaxMatchValue:
			errs = append(errs, field.TooLong(value, "", MaxMatchValue))
		}
	}
	return errs
}
