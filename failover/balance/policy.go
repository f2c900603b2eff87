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
//	interval                        10 s     10 s    sweeps that probe, and that forget past ejections
//	baseEjectionTime                30 s     30 s    times the number of ejections in a row
//	(longest ejection)              300 s    300 s
//	maxEjectionPercent              10       100     10 % of two endpoints is none: it would forbid failover
//
// The denominator of maxEjectionPercent is the number of ready local endpoints of that service port plus one for each peer that
// exports it with ready endpoints; where none is ready, those count that terminate. Whatever the policy, one is always left that is not
// ejected; and ejected endpoints are still tried when everything else failed.
const (
	defaultConsecutiveFailures = 3
	defaultInterval            = 10 * time.Second
	defaultBaseEjection        = 30 * time.Second
	defaultMaxEjectionPercent  = 100
	maxEjection                = 5 * time.Minute
	// minInterval bounds how often a policy can have sweeps.
	minInterval = 100 * time.Millisecond
)

// policy is what a service's TrafficPolicy and specs mean for choosing, with the defaults filled in. It is made once per change of
// the catalog.
type policy struct {
	consecutive    uint32 // local-origin failures in a row; 0: never eject
	interval       time.Duration
	baseEjection   time.Duration
	maxPercent     int
	connectTimeout time.Duration
	failover       []v1alpha1.LocalityFailover
	// sticky: a caller's sessions stay together, by the spec of the own Service; stickySet: by the spec that decides for all clusters.
	sticky, stickySet bool
}

// policyOf takes any policy: discovery has validated it, so that what is out of bounds here is merely clamped. own is
// the name of the own cluster.
func policyOf(own string, svc *discovery.Service) policy {
	s := policy{
		consecutive:    defaultConsecutiveFailures,
		interval:       defaultInterval,
		baseEjection:   defaultBaseEjection,
		maxPercent:     defaultMaxEjectionPercent,
		connectTimeout: defaultConnectTimeout,
		sticky:         svc.Spec.SessionAffinity == sessionAffinityClientIP,
		stickySet:      svc.Decisive(own).SessionAffinity == sessionAffinityClientIP,
	}
	p := svc.Policy
	if p == nil {
		return s
	}
	if o := p.OutlierDetection; o != nil {
		if o.ConsecutiveLocalOriginFailures != nil {
			s.consecutive = *o.ConsecutiveLocalOriginFailures
		}
		if o.MaxEjectionPercent != nil {
			s.maxPercent = min(max(int(*o.MaxEjectionPercent), 0), 100)
		}
		s.interval = max(duration(o.Interval, s.interval), minInterval)
		s.baseEjection = duration(o.BaseEjectionTime, s.baseEjection)
	}
	if l := p.LoadBalancer; l != nil && l.LocalityLbSetting != nil {
		s.failover = l.LocalityLbSetting.Failover
	}
	if c := p.ConnectionPool; c != nil && c.TCP != nil {
		s.connectTimeout = duration(c.TCP.ConnectTimeout, s.connectTimeout)
	}
	return s
}

// threshold is how many failures of a kind in a row eject a target; 0: none do.
func (s *policy) threshold(kind Failure) uint32 {
	switch kind {
	case LocalFailure, PeerFailure:
		return s.consecutive
	default:
		return 0
	}
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}

// regionRank is where the policy puts a region for callers in from: 0 is preferred most, regions
// that it does not name come after all that it does.
func (s *policy) regionRank(from, region string) int {
	rank := 0
	for _, f := range s.failover {
		if f.From != from {
			continue
		}
		if f.To == region {
			return rank
		}
		rank++
	}
	return rank
}
