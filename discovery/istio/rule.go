package istio

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Istio's defaults of outlierDetection, where Eastway's differ.
const (
	istioErrors   = 5 // consecutive5xxErrors
	istioFailures = 5 // consecutiveLocalOriginFailures
)

// rule is what a DestinationRule means for the services that it is for; nil if it sets nothing.
func rule(r *DestinationRule) (*v1alpha1.TrafficPolicySpec, []Finding) {
	var f findings
	f.exported(r.Spec.ExportTo)
	if r.Spec.Host == "" {
		f.add(Refused, "spec.host", "required: the Service, or the host of a ServiceEntry, that the rule is for")
	}
	p := r.Spec.TrafficPolicy
	if p == nil {
		return nil, f
	}
	const at = "spec.trafficPolicy"
	spec := &v1alpha1.TrafficPolicySpec{
		LoadBalancer: balancer(&f, at, p.LoadBalancer, p.OutlierDetection), ConnectionPool: pool(p.ConnectionPool),
		OutlierDetection: outliers(&f, at, p.OutlierDetection), Retries: budget(&f, at, p.RetryBudget),
	}
	f.mode(at, p.TLS)
	for i := range p.PortLevelSettings {
		port := &p.PortLevelSettings[i]
		at := fmt.Sprintf("%s.portLevelSettings[%d]", at, i)
		spec.PortLevelSettings = append(spec.PortLevelSettings, v1alpha1.PortSettings{
			Port: port.Port, LoadBalancer: balancer(&f, at, port.LoadBalancer, port.OutlierDetection), ConnectionPool: pool(port.ConnectionPool),
			OutlierDetection: outliers(&f, at, port.OutlierDetection), Retries: spec.Retries.DeepCopy(),
		})
		f.mode(at, port.TLS)
	}
	f.invalid(v1alpha1.ValidateTrafficPolicy(named(spec)), func(path string) string {
		path = strings.Replace(path, "spec.retries.budget.", "spec.retryBudget.", 1)
		return strings.Replace(path, "spec.", at+".", 1)
	})
	if isZero(spec) {
		spec = nil
	}
	return spec, f
}

// named is a policy that is valid but for what spec has.
func named(spec *v1alpha1.TrafficPolicySpec) *v1alpha1.TrafficPolicy {
	p := &v1alpha1.TrafficPolicy{Spec: *spec}
	p.Name = "policy"
	return p
}

// isZero is true for a policy that sets nothing.
func isZero(s *v1alpha1.TrafficPolicySpec) bool {
	for i := range s.PortLevelSettings {
		if p := &s.PortLevelSettings[i]; !reflect.DeepEqual(p, &v1alpha1.PortSettings{Port: p.Port}) {
			return false
		}
	}
	return s.OutlierDetection == nil && s.LoadBalancer == nil && s.ConnectionPool == nil && s.Retries == nil
}

// pool is nil if nothing is left in it.
func pool(p *v1alpha1.ConnectionPool) *v1alpha1.ConnectionPool {
	if p == nil {
		return nil
	}
	p = p.DeepCopy()
	if p.TCP != nil && *p.TCP == (v1alpha1.TCPSettings{}) {
		p.TCP = nil
	}
	if p.HTTP != nil && *p.HTTP == (v1alpha1.HTTPSettings{}) {
		p.HTTP = nil
	}
	if p.TCP == nil && p.HTTP == nil {
		return nil
	}
	return p
}

// outliers fills in Istio's defaults where Eastway has other ones, but for the greatest share: 10 % of fewer than ten endpoints is none.
func outliers(f *findings, at string, o *v1alpha1.OutlierDetection) *v1alpha1.OutlierDetection {
	if o == nil {
		return nil
	}
	o = o.DeepCopy()
	if o.MaxEjectionPercent == nil {
		f.add(Changed, at+".outlierDetection.maxEjectionPercent",
			"is not set: all but one of the endpoints may be ejected; Istio ejects a tenth at most, none of fewer than ten; set it to bound that")
	}
	if o.SplitExternalLocalOriginErrors == nil {
		o.SplitExternalLocalOriginErrors = new(false)
	}
	switch {
	case !*o.SplitExternalLocalOriginErrors: // Ports that are not HTTP are always split here: they have the limit that counts in Istio.
		o.ConsecutiveLocalOriginFailures = new(together(o))
	case o.ConsecutiveLocalOriginFailures == nil:
		o.ConsecutiveLocalOriginFailures = new(uint32(istioFailures))
	}
	return o
}

// together is how many failed connects in a row eject an endpoint if they count as answers with an error.
func together(o *v1alpha1.OutlierDetection) uint32 {
	errors, gateway := uint32(istioErrors), uint32(0)
	if o.ConsecutiveErrors != nil {
		errors, gateway = 0, *o.ConsecutiveErrors
	}
	if o.Consecutive5xxErrors != nil {
		errors = *o.Consecutive5xxErrors
	}
	if o.ConsecutiveGatewayErrors != nil {
		gateway = *o.ConsecutiveGatewayErrors
	}
	if errors == 0 || gateway != 0 && gateway < errors {
		return gateway
	}
	return errors
}

func balancer(f *findings, at string, lb *v1alpha1.LoadBalancer, o *v1alpha1.OutlierDetection) *v1alpha1.LoadBalancer {
	if lb == nil {
		return nil
	}
	lb = lb.DeepCopy()
	if lb.Simple == "UNSPECIFIED" {
		lb.Simple = ""
	}
	if *lb == (v1alpha1.LoadBalancer{}) {
		return nil
	}
	l := lb.LocalityLbSetting
	if l == nil {
		return lb
	}
	at += ".loadBalancer.localityLbSetting"
	if o == nil && (len(l.Failover) > 0 || len(l.FailoverPriority) > 0) {
		f.add(Changed, at, "has effect without outlierDetection too, which Istio requires for it")
	}
	known := []string{v1alpha1.PriorityRegion, v1alpha1.PriorityZone, v1alpha1.PriorityCluster}
	for i, name := range l.FailoverPriority {
		if !slices.Contains(known, name) {
			f.add(Changed, fmt.Sprintf("%s.failoverPriority[%d]", at, i),
				"endpoints have no label %q: they are ordered by those before it; known are %s", name, strings.Join(known, ", "))
			l.FailoverPriority = slices.Clip(l.FailoverPriority[:i])
			break
		}
	}
	if len(l.FailoverPriority) == 0 {
		l.FailoverPriority = nil
	}
	return lb
}

func budget(f *findings, at string, b *RetryBudget) *v1alpha1.Retries {
	if b == nil {
		return nil
	}
	out := &v1alpha1.RetryBudget{MinRetryConcurrency: b.MinRetryConcurrency}
	if p := b.Percent; p != nil {
		if *p < 0 || *p > 100 {
			f.add(Refused, at+".retryBudget.percent", "must be between 0 and 100")
			return nil
		}
		out.Percent = new(int32(*p))
		if float64(*out.Percent) != *p {
			f.add(Changed, at+".retryBudget.percent", "is rounded down to %d", *out.Percent)
		}
	}
	return &v1alpha1.Retries{Budget: out}
}
