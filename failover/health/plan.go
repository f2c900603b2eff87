package health

import (
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The defaults of a check are those of Kubernetes' readiness probe, but that a flapping endpoint needs two passed checks to return.
const (
	defaultInterval  = 10 * time.Second
	defaultTimeout   = time.Second
	defaultUnhealthy = 3
	defaultHealthy   = 2
)

// kind is what a check does.
type kind string

// The kinds of checks.
const (
	kindHTTP kind = "http"
	kindTCP  kind = "tcp"
	kindGRPC kind = "grpc"
)

// plan is how an endpoint is checked. It is not changed once it is in use.
type plan struct {
	kind kind
	// port instead of the endpoint's own; 0: that one.
	port uint16
	// proxied: the port expects the header of the PROXY protocol.
	proxied bool
	// tls is what the endpoint gets, also on another port; nil: nothing is added. host is then its DNS name.
	tls  *discovery.TLS
	host string
	// interval is the time between the end of a check and the next one, timeout that of one check.
	interval, timeout time.Duration
	// unhealthy and healthy are how many results in a row change what an endpoint is taken for.
	unhealthy, healthy uint32
	// method and path are those of an HTTP request, expected the statuses that pass.
	method, path string
	expected     []statuses
	// authority is the host that HTTP and gRPC name; empty: the endpoint's address.
	authority string
	// service is the one that gRPC asks about; empty: the server as a whole.
	service string
}

// statuses are HTTP statuses, from the first to the last.
type statuses struct{ first, last int }

// expects is true for a status that passes.
func (p *plan) expects(status int) bool {
	return slices.ContainsFunc(p.expected, func(s statuses) bool { return status >= s.first && status <= s.last })
}

// answers is true when a check that passes shows more than that connections are accepted.
func (p *plan) answers() bool { return p.kind != kindTCP }

// plansOf are the endpoints of a service that are checked; nil if it has no checks, or is nil itself. One that is neither exported nor
// listened for gets no calls here, and needs none.
func plansOf(svc *discovery.Service) map[place]*plan {
	if svc == nil || svc.Policy == nil || svc.Export == nil && len(svc.Listeners) == 0 {
		return nil
	}
	var out map[place]*plan
	for _, sp := range svc.Ports {
		p := planOf(svc.Policy.ForPort(sp.Port).HealthCheck)
		if p == nil || sp.Protocol != discovery.TCP && sp.Protocol != "" {
			continue
		}
		// Another port than the service's has no callers behind proxies.
		p.proxied = svc.ProxyProtocol && p.port == 0
		if out == nil {
			out = make(map[place]*plan)
		}
		endpoints := svc.Endpoints[sp.Port]
		for i := range endpoints {
			if e := &endpoints[i]; (e.Ready || e.Terminating) && !svc.IsOwnListener(e.Address) {
				out[place{sp.Port, e.Address}] = p.with(svc.OutsideTLS(), e.Host)
			}
		}
	}
	return out
}

// with is the plan for an endpoint that gets TLS.
func (p *plan) with(tls *discovery.TLS, host string) *plan {
	if tls == nil {
		return p
	}
	own := *p
	own.tls, own.host = tls, host
	return &own
}

// planOf takes any check: discovery has validated it. It is nil when there is none.
func planOf(h *v1alpha1.HealthCheck) *plan {
	if h == nil {
		return nil
	}
	p := &plan{
		kind: kindTCP, port: uint16(either(h.Port, 0)), interval: duration(h.Interval, defaultInterval), timeout: duration(h.Timeout, defaultTimeout),
		unhealthy: either(h.UnhealthyThreshold, defaultUnhealthy), healthy: either(h.HealthyThreshold, defaultHealthy),
	}
	switch {
	case h.HTTP != nil:
		p.kind, p.method, p.path, p.authority = kindHTTP, h.HTTP.Method, h.HTTP.Path, h.HTTP.Host
		if p.method == "" {
			p.method = http.MethodGet
		}
		for _, s := range h.HTTP.ExpectedStatuses {
			if first, last, err := v1alpha1.ParseStatuses(s); err == nil {
				p.expected = append(p.expected, statuses{first, last})
			}
		}
		if len(p.expected) == 0 {
			p.expected = []statuses{{http.StatusOK, 299}}
		}
	case h.GRPC != nil:
		p.kind, p.service, p.authority = kindGRPC, h.GRPC.Service, h.GRPC.Authority
	}
	return p
}

// either is the value of a field, or the default of an absent one.
func either(field *uint32, otherwise uint32) uint32 {
	if field == nil {
		return otherwise
	}
	return *field
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}
