package v1alpha1

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/internal/operand"
)

// ValidatePeer checks everything that does not depend on the own cluster. The contents of SPIFFEID and TrustBundle are
// checked by package certs.
func ValidatePeer(p *Peer) field.ErrorList {
	errs := label(field.NewPath("metadata", "name"), p.Name)
	spec := field.NewPath("spec")

	id := spec.Child("spiffeID")
	switch {
	case p.Spec.SPIFFEID == "":
		errs = append(errs, field.Required(id,
			"spiffe://TRUSTDOMAIN/eastway/cluster/NAME, as `eastway peer export` prints it there"))
	case len(p.Spec.SPIFFEID) > MaxSPIFFEID:
		errs = append(errs, field.TooLong(id, "", MaxSPIFFEID))
	case !strings.HasPrefix(p.Spec.SPIFFEID, "spiffe://"):
		errs = append(errs, field.Invalid(id, p.Spec.SPIFFEID, "must begin with spiffe://"))
	}

	bundle := spec.Child("trustBundle")
	switch {
	case strings.TrimSpace(p.Spec.TrustBundle) == "":
		errs = append(errs, field.Required(bundle, "the peer's roots of trust, as PEM or SPIFFE JWKS"))
	case len(p.Spec.TrustBundle) > MaxTrustBundle:
		errs = append(errs, field.TooLong(bundle, "", MaxTrustBundle))
	}

	errs = append(errs, validateAddresses(spec.Child("addresses"), p.Spec.Addresses)...)
	errs = append(errs, validateDenied(spec.Child("denied"), p.Spec.SPIFFEID, p.Spec.Denied)...)
	errs = append(errs, validateLocalities(spec.Child("localities"), p.Spec.Localities)...)
	if x := p.Spec.Exports; x != nil {
		errs = append(errs, validateServices(spec.Child("exports"), x.Allow, x.Deny)...)
	}
	if i := p.Spec.Imports; i != nil {
		errs = append(errs, validateServices(spec.Child("imports"), i.Allow, i.Deny)...)
	}
	errs = append(errs, p.Spec.Quota.validate(spec.Child("quota"))...)
	return errs
}

func validateAddresses(addresses *field.Path, list []string) field.ErrorList {
	if n := len(list); n > MaxPeerAddresses {
		return field.ErrorList{field.TooMany(addresses, n, MaxPeerAddresses)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, a := range list {
		at := addresses.Index(i)
		if reason := hostPort(a); reason != "" {
			errs = append(errs, field.Invalid(at, short(a), reason))
		} else if seen[a] {
			errs = append(errs, field.Duplicate(at, a))
		}
		seen[a] = true
	}
	return errs
}

func validateLocalities(at *field.Path, list []string) field.ErrorList {
	if n := len(list); n > MaxPeerLocalities {
		return field.ErrorList{field.TooMany(at, n, MaxPeerLocalities)}
	}
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, l := range list {
		switch _, err := ParseLocality(l); {
		case strings.Contains(l, "*"):
			errs = append(errs, field.Invalid(at.Index(i), short(l), "must be REGION or REGION/ZONE: leave the field out to let the peer claim any"))
		case err != nil:
			errs = append(errs, field.Invalid(at.Index(i), short(l), "must be REGION or REGION/ZONE, such as eu-west/eu-west-1a: "+err.Error()))
		case seen[l]:
			errs = append(errs, field.Duplicate(at.Index(i), l))
		}
		seen[l] = true
	}
	return errs
}

// MayClaim is true if the peer may have endpoints at that place. A region without a zone is within each of its zones.
func (s *PeerSpec) MayClaim(region, zone string) bool {
	if len(s.Localities) == 0 || region == "" {
		return true
	}
	return slices.ContainsFunc(s.Localities, func(l string) bool {
		p, err := ParseLocality(l)
		return err == nil && (p.Matches(region, zone) || zone == "" && p.Region == region)
	})
}

// ValidateTrafficPolicy checks everything but whether the target exists.
func ValidateTrafficPolicy(p *TrafficPolicy) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Subdomain(p.Name) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), short(p.Name), msg))
	}
	spec := field.NewPath("spec")
	errs = append(errs, validateTarget(spec.Child("targetRef"), &p.Spec.TargetRef)...)
	if p.Spec.TargetRef.OfEntry() {
		return append(errs, validateOfEntry(spec, &p.Spec)...)
	}
	errs = append(errs, validateSettings(spec, &p.Spec)...)
	return append(errs, validatePorts(spec.Child("portLevelSettings"), p.Spec.PortLevelSettings)...)
}

// validateSettings checks those of a policy, or of one port.
func validateSettings(at *field.Path, p *TrafficPolicySpec) field.ErrorList {
	var errs field.ErrorList
	if o := p.OutlierDetection; o != nil {
		errs = append(errs, validateOutlierDetection(at.Child("outlierDetection"), o)...)
	}
	if lb := p.LoadBalancer; lb != nil {
		errs = append(errs, validateLoadBalancer(at.Child("loadBalancer"), lb)...)
	}
	if cp := p.ConnectionPool; cp != nil {
		errs = append(errs, validatePool(at.Child("connectionPool"), cp)...)
	}
	errs = append(errs, timeout(at.Child("timeout"), p.Timeout)...)
	if r := p.Retries; r != nil {
		errs = append(errs, validateRetries(at.Child("retries"), r)...)
	}
	if scopes := []string{ScopeClusterSet, ScopeRegion, ScopeCluster}; p.Scope != "" && !slices.Contains(scopes, p.Scope) {
		errs = append(errs, field.NotSupported(at.Child("scope"), short(p.Scope), scopes))
	}
	if r := p.RateLimit; r != nil {
		errs = append(errs, validateRateLimit(at.Child("rateLimit"), r)...)
	}
	if c := p.Capacity; c != nil {
		errs = append(errs, validateCapacity(at.Child("capacity"), c)...)
	}
	if h := p.HealthCheck; h != nil {
		errs = append(errs, validateHealthCheck(at.Child("healthCheck"), h)...)
	}
	return errs
}

func validatePorts(at *field.Path, ports []PortSettings) field.ErrorList {
	if n := len(ports); n > MaxPortSettings {
		return field.ErrorList{field.TooMany(at, n, MaxPortSettings)}
	}
	var errs field.ErrorList
	seen := map[uint32]bool{}
	for i := range ports {
		n, number := ports[i].Port.Number, at.Index(i).Child("port", "number")
		switch {
		case n < 1 || n > math.MaxUint16:
			errs = append(errs, field.Invalid(number, n, "must be between 1 and 65535"))
		case seen[n]:
			errs = append(errs, field.Duplicate(number, n))
		}
		seen[n] = true
		errs = append(errs, validateSettings(at.Index(i), ports[i].spec())...)
	}
	return errs
}

// Kinds of a targetRef.
const (
	KindService  = "Service"
	KindImport   = "ServiceImport"
	KindExternal = "ExternalService"
	KindGateway  = "Gateway"
	KindRoute    = "HTTPRoute"
	// GroupImport is the API group of ServiceImports.
	GroupImport = "multicluster.x-k8s.io"
	// GroupOwn is that of ExternalServices.
	GroupOwn = "eastway.dev"
	// GroupGateway is that of Gateways and HTTPRoutes.
	GroupGateway = "gateway.networking.k8s.io"
)

func validateTarget(at *field.Path, t *TargetRef) field.ErrorList {
	if t.IsZero() {
		return nil
	}
	groups := map[string][]string{
		KindService: {"", "core"}, KindImport: {GroupImport}, KindExternal: {GroupOwn}, KindGateway: {GroupGateway}, KindRoute: {GroupGateway},
	}
	var errs field.ErrorList
	switch known := groups[t.Kind]; {
	case t.Kind == "":
		errs = append(errs, field.Required(at.Child("kind"), "Service, ServiceImport, ExternalService, Gateway or HTTPRoute"))
	case known == nil:
		errs = append(errs, field.NotSupported(at.Child("kind"), short(t.Kind),
			[]string{KindService, KindImport, KindExternal, KindGateway, KindRoute}))
	case !slices.Contains(known, t.Group):
		errs = append(errs, field.NotSupported(at.Child("group"), short(t.Group), known))
	}
	if t.OfEntry() {
		for _, msg := range validation.IsDNS1123Subdomain(t.Name) {
			errs = append(errs, field.Invalid(at.Child("name"), short(t.Name), msg))
		}
		return errs
	}
	return append(errs, label(at.Child("name"), t.Name)...)
}

// validateOfEntry checks a policy for a Gateway or HTTPRoute: the entry applies its rateLimit and nothing else, and its callers are in no cluster.
func validateOfEntry(at *field.Path, p *TrafficPolicySpec) field.ErrorList {
	others := *p
	others.TargetRef, others.RateLimit = TargetRef{}, nil
	if p.RateLimit == nil {
		return field.ErrorList{field.Required(at.Child("rateLimit"), "a policy for a Gateway or HTTPRoute has one, and nothing else")}
	}
	if !reflect.DeepEqual(others, TrafficPolicySpec{}) {
		return field.ErrorList{field.Forbidden(at, "a policy for a Gateway or HTTPRoute has a rateLimit only: for the rest, name the Service")}
	}
	errs := validateRateLimit(at.Child("rateLimit"), p.RateLimit)
	for i := range p.RateLimit.Rules {
		if len(p.RateLimit.Rules[i].Match.Clusters) > 0 {
			errs = append(errs, field.Forbidden(at.Child("rateLimit", "rules").Index(i).Child("match", "clusters"),
				"callers of a Gateway are in no cluster: remove it"))
		}
	}
	return errs
}

func validateOutlierDetection(at *field.Path, o *OutlierDetection) field.ErrorList {
	errs := slices.Concat(
		within(at.Child("consecutiveLocalOriginFailures"), o.ConsecutiveLocalOriginFailures, MaxConsecutive),
		within(at.Child("consecutiveGatewayErrors"), o.ConsecutiveGatewayErrors, MaxConsecutive),
		within(at.Child("consecutive5xxErrors"), o.Consecutive5xxErrors, MaxConsecutive),
		within(at.Child("consecutiveErrors"), o.ConsecutiveErrors, MaxConsecutive),
		within(at.Child("failurePercentageThreshold"), o.FailurePercentageThreshold, 100),
		within(at.Child("maxEjectionPercent"), o.MaxEjectionPercent, 100),
		within(at.Child("minHealthPercent"), o.MinHealthPercent, 100),
		duration(at.Child("interval"), o.Interval, MinInterval, MaxInterval),
		duration(at.Child("baseEjectionTime"), o.BaseEjectionTime, MinEjectionTime, MaxEjectionTime),
		duration(at.Child("maxEjectionTime"), o.MaxEjectionTime, MinEjectionTime, MaxEjectionTime),
		validateErrorCodes(at.Child("outlierDetectionHttpErrorCodes"), o.OutlierDetectionHTTPErrorCodes),
	)
	base := metav1.Duration{Duration: DefaultBaseEjectionTime}
	if o.BaseEjectionTime != nil {
		base = *o.BaseEjectionTime
	}
	if longest := o.MaxEjectionTime; len(errs) == 0 && longest != nil && longest.Duration < base.Duration {
		errs = append(errs, field.Invalid(at.Child("maxEjectionTime"), longest.Duration.String(),
			fmt.Sprintf("must be at least baseEjectionTime, %s", base.Duration)))
	}
	return errs
}

func validateErrorCodes(at *field.Path, codes []uint32) field.ErrorList {
	if n := len(codes); n > MaxErrorCodes {
		return field.ErrorList{field.TooMany(at, n, MaxErrorCodes)}
	}
	var errs field.ErrorList
	for i, code := range codes {
		if code < MinErrorCode || code > MaxErrorCode {
			errs = append(errs, field.Invalid(at.Index(i), code, fmt.Sprintf("must be between %d and %d", MinErrorCode, MaxErrorCode)))
		}
	}
	return errs
}

func label(at *field.Path, name string) field.ErrorList {
	return named(at, name, "", validation.IsDNS1123Label)
}

// named is what is wrong with a required name; check returns what it must be.
func named(at *field.Path, name, required string, check func(string) []string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, required)}
	}
	var errs field.ErrorList
	for _, msg := range check(name) {
		errs = append(errs, field.Invalid(at, short(name), msg))
	}
	return errs
}

// within checks a number that is at least 0.
func within[N int32 | uint32](at *field.Path, n *N, most N) field.ErrorList {
	if n == nil || *n >= 0 && *n <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(at, *n, fmt.Sprintf("must be between 0 and %d", most))}
}

func duration(at *field.Path, d *metav1.Duration, least, most time.Duration) field.ErrorList {
	if d == nil || d.Duration >= least && d.Duration <= most {
		return nil
	}
	return field.ErrorList{field.Invalid(at, d.Duration.String(), fmt.Sprintf("must be between %s and %s", least, most))}
}

// hostPort returns what is wrong with the address; "" means nothing.
func hostPort(s string) string {
	host, port, err := operand.SplitHostPort(s)
	if err != nil {
		return "must be host:port: " + err.Error()
	}
	if port == 0 {
		return "port must be a number between 1 and 65535"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !dialable(ip) {
			return "must be an address that can be dialed"
		}
		return ""
	}
	if len(validation.IsDNS1123Subdomain(strings.ToLower(strings.TrimSuffix(host, ".")))) > 0 {
		return "host must be an IP address or a DNS name"
	}
	return ""
}

// short keeps an error readable when the value is not.
func short(s string) string {
	const most = 80 // bytes
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
