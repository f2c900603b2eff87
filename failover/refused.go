package failover

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/http/h1"
	"github.com/eastway/eastway/internal/tally"
)

// malformed counts HTTP requests that are refused because they are not well-formed, and logs them at most once a minute.
type malformed struct {
	metrics *metrics
	log     *zap.Logger

	mu    sync.Mutex
	tally tally.Tally
}

// refused is called with each.
func (m *malformed) refused(s discovery.ServiceName, v *h1.Violation) {
	m.metrics.refused.WithLabelValues(s.String(), string(v.Reason)).Inc()
	m.mu.Lock()
	due := m.tally.Note(time.Now(), 1)
	m.mu.Unlock()
	if due > 0 {
		m.log.Warn("HTTP request refused: it is not well-formed; mend the client, or set the port's protocol to tcp by the annotation "+
			"eastway.dev/protocol", zap.Uint64("requests", due), zap.Stringer("service", s), zap.Error(v))
	}
}
