package failover

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/internal/tally"
)

// refusals counts HTTP requests that are refused, and retries that the budget refuses; it logs each kind at most once a minute.
type refusals struct {
	metrics *metrics
	log     *zap.Logger

	mu                    sync.Mutex
	malformed, overBudget tally.Tally
	limits                tally.Tally
}

// note counts one, and returns how many to log now.
func (r *refusals) note(t *tally.Tally) (due uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.Note(time.Now(), 1)
}

// request counts a request that is not well-formed.
func (r *refusals) request(s discovery.ServiceName, v *h1.Violation) {
	r.metrics.refused.WithLabelValues(s.String(), string(v.Reason)).Inc()
	if due := r.note(&r.malformed); due > 0 {
		r.log.Warn("HTTP request refused: it is not well-formed; mend the client, or set the port's protocol to tcp by the annotation "+
			"eastway.dev/protocol", zap.Uint64("requests", due), zap.Stringer("service", s), zap.Error(v))
	}
}

// limit counts a request, or a retry, beyond the policy's connectionPool.
func (r *refusals) limit(s discovery.ServiceName, limit string) {
	r.metrics.limits.WithLabelValues(s.String(), limit).Inc()
	if due := r.note(&r.limits); due > 0 {
		r.log.Warn("HTTP requests refused, or not repeated: as many are under way as the TrafficPolicy allows; raise the limit under "+
			"connectionPool, or add endpoints", zap.Uint64("requests", due), zap.Stringer("service", s), zap.String("limit", limit))
	}
}

// retry counts a retry above the budget.
func (r *refusals) retry(s discovery.ServiceName) {
	r.metrics.overBudget.WithLabelValues(s.String()).Inc()
	if due := r.note(&r.overBudget); due > 0 {
		r.log.Warn("HTTP requests not repeated: the retry budget of the service is used up; 'eastway endpoints' shows which endpoints fail",
			zap.Uint64("requests", due), zap.Stringer("service", s))
	}
}
