package v1alpha1

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// allWeight is what the weights of a distribution add up to.
const allWeight = 100

// Values of loadBalancer.simple.
const (
	LeastRequest = "LEAST_REQUEST"
	LeastConn    = "LEAST_CONN" // deprecated: LEAST_REQUEST
	RoundRobin   = "ROUND_ROBIN"
	Random       = "RANDOM"
)

// The labels that failoverPriority may have.
const (
	PriorityRegion  = corev1.LabelTopologyRegion
	PriorityZone    = corev1.LabelTopologyZone
	PriorityCluster = "topology.istio.io/cluster"
)

func validateLoadBalancer(at *field.Path, lb *LoadBalancer) field.ErrorList {
	errs := validateSimple(at.Child("simple"), lb.Simple)
	if h := lb.ConsistentHash; h != nil {
		errs = append(errs, validateHash(at.Child("consistentHash"), h)...)
		if lb.Simple != "" {
			errs = append(errs, field.Forbidden(at.Child("simple"), "cannot be combined with consistentHash: remove one of the two"))
		}
	}
	errs = append(errs, validateWarmup(at, lb)...)
	if l := lb.LocalityLbSetting; l != nil {
		setting := at.Child("localityLbSetting")
		errs = slices.Concat(errs,
			validateDistribute(setting.Child("distribute"), l.Distribute),
			validateFailover(setting.Child("failover"), l.Failover),
			validateFailoverPriority(setting.Child("failoverPriority"), l.FailoverPriority),
		)
	}
	return errs
}

func validateSimple(at *field.Path, simple string) field.ErrorList {
	switch simple {
	case "", LeastRequest, LeastConn, RoundRobin, Random:
		return nil
	case "PASSTHROUGH":
		return field.ErrorList{field.Invalid(at, simple,
			"calls always go to an endpoint of the service, not to the address that the caller used: choose LEAST_REQUEST, ROUND_ROBIN or RANDOM")}
	default:
		return field.ErrorList{field.NotSupported(at, short(simple), []string{LeastRequest, RoundRobin, Random})}
	}
}

func validateWarmup(at *field.Path, lb *LoadBalancer) field.ErrorList {
	warmup, deprecated := at.Child("warmup"), at.Child("warmupDurationSecs")
	errs := duration(deprecated, lb.WarmupDurationSecs, MinWarmup, MaxWarmup)
	w := lb.Warmup
	if w == nil {
		return errs
	}
	if lb.WarmupDurationSecs != nil {
		errs = append(errs, field.Forbidden(deprecated, "cannot be combined with warmup: remove it"))
	}
	errs = slices.Concat(errs,
		duration(warmup.Child("duration"), &w.Duration, MinWarmup, MaxWarmup),
		within(warmup.Child("minimumPercent"), w.MinimumPercent, 100),
	)
	if a := w.Aggression; a != nil && (*a < 1 || *a > MaxAggression) {
		errs = append(errs, field.Invalid(warmup.Child("aggression"), *a, fmt.Sprintf("must be between 1 and %d", MaxAggression)))
	}
	return errs
}

func validateHash(at *field.Path, h *ConsistentHash) field.ErrorList {
	keys := 0
	for _, set := range []bool{h.HTTPHeaderName != "", h.HTTPCookie != nil, h.HTTPQueryParameterName != "", h.UseSourceIP} {
		if set {
			keys++
		}
	}
	const names = "one of httpHeaderName, httpCookie, httpQueryParameterName and useSourceIp"
	switch keys {
	case 0:
		return field.ErrorList{field.Required(at, names)}
	case 1:
	default:
		return field.ErrorList{field.Forbidden(at, "must have only "+names)}
	}
	errs := slices.Concat(
		validateKey(at.Child("httpHeaderName"), h.HTTPHeaderName, isToken),
		validateKey(at.Child("httpQueryParameterName"), h.HTTPQueryParameterName, isText),
	)
	if c := h.HTTPCookie; c != nil {
		cookie := at.Child("httpCookie")
		if c.Name == "" {
			errs = append(errs, field.Required(cookie.Child("name"), ""))
		}
		errs = slices.Concat(errs,
			validateKey(cookie.Child("name"), c.Name, isToken),
			validateKey(cookie.Child("path"), c.Path, isPath),
			duration(cookie.Child("ttl"), c.TTL, 0, MaxCookieTTL),
		)
	}
	return errs
}

func validateKey(at *field.Path, text string, valid func(string) string) field.ErrorList {
	if len(text) > MaxHashKey {
		return field.ErrorList{field.TooLong(at, "", MaxHashKey)}
	}
	if reason := valid(text); text != "" && reason != "" {
		return field.ErrorList{field.Invalid(at, short(text), reason)}
	}
	return nil
}

// isToken returns what is wrong with a token (RFC 9110, 5.6.2).
func isToken(s string) string {
	const symbols = "!#$%&'*+-.^_`|~"
	for _, c := range []byte(s) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(symbols, rune(c)) {
			return "must be letters, digits and " + symbols
		}
	}
	return ""
}

// isText returns what is wrong with a text that a URL can have.
func isText(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "must be text without control characters"
	}
	return ""
}

// isPath returns what is wrong with the path of a cookie (RFC 6265, 4.1.1).
func isPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == ';' }) {
		return "must begin with / and be ASCII without ;"
	}
	return ""
}

func validateDistribute(at *field.Path, list []LocalityDistribute) field.ErrorList {
	if n := len(list); n > MaxDistribute {
		return field.ErrorList{field.TooMany(at, n, MaxDistribute)}
	}
	var errs field.ErrorList
	var before []LocalityPattern
	for i, d := range list {
		before, errs = distinctLocality(at.Index(i).Child("from"), d.From, before, errs)
		errs = append(errs, validateWeights(at.Index(i).Child("to"), d.To)...)
	}
	return errs
}

func validateWeights(at *field.Path, to map[string]uint32) field.ErrorList {
	switch n := len(to); {
	case n == 0:
		return field.ErrorList{field.Required(at, "localities with weights that add up to 100, such as cn-shanghai/*: 100")}
	case n > MaxDistribute:
		return field.ErrorList{field.TooMany(at, n, MaxDistribute)}
	}
	var errs field.ErrorList
	var before []LocalityPattern
	sum := uint64(0)
	for _, locality := range slices.Sorted(maps.Keys(to)) {
		weight := to[locality]
		before, errs = distinctLocality(at.Key(short(locality)), locality, before, errs)
		if weight < 1 || weight > allWeight {
			errs = append(errs, field.Invalid(at.Key(short(locality)), weight, fmt.Sprintf("must be between 1 and %d", allWeight)))
		}
		sum += uint64(weight)
	}
	if len(errs) == 0 && sum != allWeight {
		errs = append(errs, field.Invalid(at, sum, fmt.Sprintf("the weights must add up to %d", allWeight)))
	}
	return errs
}

// distinctLocality checks a pattern and adds it to those before it, none of which may overlap with it.
func distinctLocality(at *field.Path, text string, before []LocalityPattern, errs field.ErrorList) ([]LocalityPattern, field.ErrorList) {
	p, err := ParseLocality(text)
	if err != nil {
		return before, append(errs, field.Invalid(at, short(text), err.Error()))
	}
	for _, o := range before {
		if p.overlaps(o) {
			return before, append(errs, field.Invalid(at, short(text), fmt.Sprintf("overlaps with %s", o)))
		}
	}
	return append(before, p), errs
}

func validateFailover(at *field.Path, pairs []LocalityFailover) field.ErrorList {
	if n := len(pairs); n > MaxFailover {
		return field.ErrorList{field.TooMany(at, n, MaxFailover)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, p := range pairs {
		from, to := at.Index(i).Child("from"), at.Index(i).Child("to")
		errs = append(errs, region(from, p.From)...)
		errs = append(errs, region(to, p.To)...)
		if p.From == p.To && p.From != "" {
			errs = append(errs, field.Invalid(to, short(p.To), "must be another region than from"))
		}
		if seen[p.From] {
			errs = append(errs, field.Duplicate(from, short(p.From)))
		}
		seen[p.From] = true
	}
	return errs
}

func validateFailoverPriority(at *field.Path, labels []string) field.ErrorList {
	known := []string{PriorityRegion, PriorityZone, PriorityCluster}
	if n := len(labels); n > len(known) {
		return field.ErrorList{field.TooMany(at, n, len(known))}
	}
	var errs field.ErrorList
	for i, l := range labels {
		switch {
		case !slices.Contains(known, l):
			errs = append(errs, field.NotSupported(at.Index(i), short(l), known))
		case slices.Contains(labels[:i], l):
			errs = append(errs, field.Duplicate(at.Index(i), l))
		}
	}
	return errs
}

func region(at *field.Path, name string) field.ErrorList {
	return named(at, name, "a region, as in topology.kubernetes.io/region", validation.IsValidLabelValue)
}
