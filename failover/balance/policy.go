package balance

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The defaults of outlier detection. The fields are Envoy's (docs, "Outlier detection"), the values fit services
// with few endpoints:
//
//	field                           Envoy    here    why
//	consecutiveLocalOriginFailures  5        3       a failed connect is not shown to the caller, the next endpoint
//	                                                 is tried; so ejecting only saves time. One lost SYN or a process
//	                                                 that restarts must not cost 30 s, three in a row are no accident.
//	consecutive5xxErrors            5        5       of HTTP, as the next three
//	consecutiveGatewayErrors        off      off
//	failurePercentageThreshold      off      off     Istio's 85 holds only where the field is set
//	splitExternalLocalOriginErrors  false    true    connections of TCP have no answers to be counted with
//	interval                        10 s     10 s    sweeps that probe, and that forget past ejections
//	baseEjectionTime                30 s     30 s    times the number of ejections in a row
//	maxEjectionTime                 300 s    300 s   or baseEjectionTime, if longer
//	maxEjectionPercent              10       100     10 % of two endpoints is none: it would forbid failover
//	minHealthPercent                50       0       as in Istio
//
// The denominator of maxEjectionPercent and minHealthPercent is the number of ready local endpoints of that service port plus one for each peer that
// exports it with ready endpoints; where none is ready, those count that terminate. Whatever the policy, one is always left that is not
// ejected; and ejected endpoints are still tried when everything else failed.
const (
	defaultConsecutiveFailures = 3
	defaultServerErrors        = 5
	defaultInterval            = 10 * time.Second
	defaultBaseEjection        = v1alpha1.DefaultBaseEjectionTime
	defaultMaxEjectionPercent  = 100
	maxEjection                = 5 * time.Minute
	// minInterval bounds how often a policy can have sweeps.
	minInterval = 100 * time.Millisecond
)

// policy is what a service's TrafficPolicy and specs mean for choosing, with the defaults filled in. It is made once per change of
// the catalog.
type policy struct {
	thresholds
	interval     time.Duration
	baseEjection time.Duration
	maxEjection  time.Duration
	maxPercent   int
	// minHealthPercent of the members have to be out of ejection, or it decides nothing.
	minHealthPercent int
	connectTimeout   time.Duration
	method           method
	warmup           warmup
	localities       localities
	// sticky: a caller's sessions stay together, by the policy or the spec of the own Service; stickySet: by the policy or the spec that
	// decides for all clusters.
	sticky, stickySet bool
	requests          *Requests
	rateLimit         *v1alpha1.RateLimit
	// inFlight is how many calls each endpoint of the own cluster can have in flight; 0: any number.
	inFlight uint32
	// scope is how far calls of the own cluster go; empty is clusterset.
	scope string
}

// policyOf takes any policy: discovery has validated it, so that what is out of bounds here is merely clamped. own is
// the name of the own cluster.
func policyOf(own string, svc *discovery.Service, port uint16) policy {
	p := svc.Policy.ForPort(port)
	s := policy{
		thresholds:     thresholds{consecutive: defaultConsecutiveFailures, serverErrors: defaultServerErrors},
		interval:       defaultInterval,
		baseEjection:   defaultBaseEjection,
		maxEjection:    maxEjection,
		maxPercent:     defaultMaxEjectionPercent,
		connectTimeout: defaultConnectTimeout,
		sticky:         svc.Spec.SessionAffinity == sessionAffinityClientIP,
		stickySet:      svc.Decisive(own).SessionAffinity == sessionAffinityClientIP,
		requests:       RequestsOf(p),
	}
	if p == nil {
		return s
	}
	s.rateLimit, s.inFlight, s.scope = p.RateLimit, p.InFlightPerEndpoint(), p.Scope
	if o := p.OutlierDetection; o != nil {
		s.thresholds = thresholdsOf(o)
		s.maxPercent = percent(o.MaxEjectionPercent, s.maxPercent)
		s.minHealthPercent = percent(o.MinHealthPercent, 0)
		s.interval = max(duration(o.Interval, s.interval), minInterval)
		s.baseEjection = duration(o.BaseEjectionTime, s.baseEjection)
		s.maxEjection = max(duration(o.MaxEjectionTime, s.maxEjection), s.baseEjection)
	}
	if l := p.LoadBalancer; l != nil {
		s.method, s.warmup = methodOf(l.Simple), warmupOf(l)
		if h := l.ConsistentHash; h != nil && h.UseSourceIP {
			s.sticky, s.stickySet = true, true
		}
		s.localities = localitiesOf(l.LocalityLbSetting)
	}
	if c := p.ConnectionPool; c != nil && c.TCP != nil {
		s.connectTimeout = duration(c.TCP.ConnectTimeout, s.connectTimeout)
	}
	return s
}

func thresholdsOf(o *v1alpha1.OutlierDetection) thresholds {
	th := thresholds{
		consecutive:       or(o.ConsecutiveLocalOriginFailures, defaultConsecutiveFailures),
		serverErrors:      defaultServerErrors,
		failurePercentage: min(or(o.FailurePercentageThreshold, 0), 100),
		unsplit:           !or(o.SplitExternalLocalOriginErrors, true),
		errorCodes:        o.OutlierDetectionHTTPErrorCodes,
	}
	if o.ConsecutiveErrors != nil { // Istio counted gateway errors by it, and then no others
		th.gatewayErrors, th.serverErrors = *o.ConsecutiveErrors, 0
	}
	th.gatewayErrors = or(o.ConsecutiveGatewayErrors, th.gatewayErrors)
	th.serverErrors = or(o.Consecutive5xxErrors, th.serverErrors)
	return th
}

func methodOf(simple string) method {
	switch simple {
	case v1alpha1.RoundRobin:
		return roundRobin
	case v1alpha1.Random:
		return atRandom
	default:
		return leastRequest
	}
}

// or is the value of a field, or the default of an absent one.
func or[T any](field *T, otherwise T) T {
	if field == nil {
		return otherwise
	}
	return *field
}

func percent(field *int32, otherwise int) int {
	if field == nil {
		return otherwise
	}
	return min(max(int(*field), 0), 100)
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}
