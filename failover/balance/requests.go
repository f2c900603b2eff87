package balance

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The defaults of requests of HTTP. Istio has two retries on connect-failure, refused-stream, unavailable and cancelled for every method; here
// the method comes first, so that nothing is executed twice.
const (
	// defaultAttempts is how often a request is repeated that an endpoint may have executed.
	defaultAttempts = 2
	// defaultRetryPercent of the requests in the budget's window may be retries, defaultRetryConcurrency whatever the share (Envoy's).
	defaultRetryPercent     = 20
	defaultRetryConcurrency = 3
	// backoffFactor times its base is the longest backoff by default (Envoy's).
	backoffFactor = 10
	// defaultMaxPending is how many requests may have no connection yet: Envoy's default of 1,024 refuses many that come at once, Istio's has
	// no bound. It is as many as applications may have connections.
	defaultMaxPending = 16384
)

// Requests is what a service's TrafficPolicy means for its requests of HTTP, with the defaults filled in. It is made once per change of
// the catalog and never changes.
type Requests struct {
	Retries Retries
	HashKey HashKey
	// Timeout is how long a request may take, all its tries included, until the end of its answer; 0: for ever.
	Timeout time.Duration
	Pool    Pool
}

// Retries is when a request is repeated that an endpoint may have executed.
type Retries struct {
	// Attempts is how often, 0: never.
	Attempts int
	// Anywhere: at the same endpoint too, where there is no other.
	Anywhere bool
	// PerTryTimeout is how long one try may take until the head of its answer; 0: for ever.
	PerTryTimeout time.Duration
	// Percent and MinConcurrency are the budget.
	Percent, MinConcurrency int
	Backoff                 Backoff

	on      v1alpha1.RetryOn
	methods []string
}

// Pool bounds the requests and connections of a service port, in this proxy; 0 is no bound, but for MaxPending.
type Pool struct {
	// MaxConnections are open to endpoints of the own cluster at a time, of TCP too.
	MaxConnections int
	// MaxPending is how many requests of HTTP may have no connection yet.
	MaxPending int
	// MaxRequests and MaxRetries may be under way at a time.
	MaxRequests, MaxRetries int
	// MaxPerConnection is how many requests one connection to an endpoint gets.
	MaxPerConnection int
	// TCPIdleTimeout is how long a connection of a TCP port may carry nothing; 0: any time.
	TCPIdleTimeout time.Duration
	// IdleTimeout is how long one of HTTP may be unused; 0: the default.
	IdleTimeout time.Duration
}

func poolOf(c *v1alpha1.ConnectionPool) Pool {
	p := Pool{MaxPending: defaultMaxPending}
	if c == nil {
		return p
	}
	most := func(field *int32) int { return int(max(or(field, 0), 0)) }
	if c.TCP != nil {
		p.MaxConnections, p.TCPIdleTimeout = most(c.TCP.MaxConnections), duration(c.TCP.IdleTimeout, 0)
	}
	if h := c.HTTP; h != nil {
		p.MaxPending = cmp.Or(most(h.HTTP1MaxPendingRequests), defaultMaxPending)
		p.MaxRequests, p.MaxRetries = most(h.HTTP2MaxRequests), most(h.MaxRetries)
		p.MaxPerConnection, p.IdleTimeout = most(h.MaxRequestsPerConnection), duration(h.IdleTimeout, 0)
	}
	return p
}

// Backoff is the time before a retry; the zero value is none.
type Backoff struct{ Base, Max time.Duration }

// Method is true for methods that may be executed twice.
func (r *Retries) Method(method string) bool { return slices.Contains(r.methods, method) }

// NoAnswer is true when a request may be repeated that got no answer.
func (r *Retries) NoAnswer() bool { return r.on.NoAnswer }

// Status is true for an answer that another endpoint may not give.
func (r *Retries) Status(status int) bool {
	return r.on.ServerErrors && status >= http.StatusInternalServerError && status <= 599 || slices.Contains(r.on.Statuses, status)
}

// GRPCStatus is Status for a gRPC status that is in the head of an answer.
func (r *Retries) GRPCStatus(code int) bool { return slices.Contains(r.on.GRPCStatuses, code) }

// Rule is when a request with that method is repeated, and how often.
func (r *Retries) Rule(method string) string {
	var on []string
	if r.on.ServerErrors {
		on = append(on, "5xx")
	}
	for _, status := range r.on.Statuses {
		on = append(on, strconv.Itoa(status))
	}
	for _, code := range r.on.GRPCStatuses {
		on = append(on, "gRPC status "+strconv.Itoa(code))
	}
	if r.on.NoAnswer {
		on = append(on, "reset")
	}
	if len(on) == 0 || r.Attempts == 0 || !r.Method(method) {
		return "repeated only if no endpoint can have executed it"
	}
	return fmt.Sprintf("repeated on %s; %d attempts", strings.Join(on, ","), r.Attempts)
}

// RequestsOf takes any policy, as policyOf does.
func RequestsOf(p *v1alpha1.TrafficPolicySpec) *Requests {
	if p == nil {
		p = &v1alpha1.TrafficPolicySpec{}
	}
	return &Requests{
		Retries: retriesOf(p.Retries), Timeout: duration(p.Timeout, 0), Pool: poolOf(p.ConnectionPool), HashKey: hashKeyOf(p.LoadBalancer),
	}
}

// retriesOf: the methods are by default those that RFC 9110, 9.2.2 calls idempotent, without TRACE, which nothing needs.
func retriesOf(r *v1alpha1.Retries) Retries {
	out := Retries{
		Attempts: defaultAttempts, Percent: defaultRetryPercent, MinConcurrency: defaultRetryConcurrency, on: r.On(),
		methods: []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete},
	}
	if r == nil {
		return out
	}
	if r.Attempts != nil {
		out.Attempts, out.Anywhere = int(min(*r.Attempts, v1alpha1.MaxAttempts)), true
	}
	out.PerTryTimeout = duration(r.PerTryTimeout, 0)
	if len(r.Methods) > 0 {
		out.methods = r.Methods
	}
	if b := r.Budget; b != nil {
		out.Percent = percent(b.Percent, defaultRetryPercent)
		out.MinConcurrency = int(min(or(b.MinRetryConcurrency, defaultRetryConcurrency), v1alpha1.MaxRetryConcurrency))
	}
	if b := r.Backoff; b != nil {
		out.Backoff.Base = duration(b.BaseInterval, v1alpha1.DefaultBackoff)
		out.Backoff.Max = max(duration(b.MaxInterval, backoffFactor*out.Backoff.Base), out.Backoff.Base)
	}
	return out
}

// Requests is the policy of a service port for requests; the default for one that the catalog does not have.
func (tb *Table) Requests(k Key) *Requests {
	g := tb.group(k)
	if g == nil {
		return RequestsOf(nil)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.policy.requests
}
