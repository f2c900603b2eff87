package shortage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/tally"
)

// Accepts remembers that a listener could not accept, for the operator: in the metric, in the log once a minute, and in status.
type Accepts struct {
	of      string
	log     *zap.Logger
	counter *prometheus.CounterVec
	failed  tally.Book[Resource]
}

// NewAccepts is for the listener that is called so, such as "tunnel port".
func NewAccepts(of string, log *zap.Logger, reg prometheus.Registerer) *Accepts {
	return &Accepts{of: of, log: log, counter: Counter(reg)}
}

// Failed notes why a connection was not accepted.
func (a *Accepts) Failed(err error) {
	r := Of(err)
	if r != "" {
		a.counter.WithLabelValues(string(r)).Inc()
	}
	if due := a.failed.Note(time.Now(), r, 1); due > 0 {
		what, remedy := a.text(r)
		a.log.Warn(what, zap.Uint64("times", due), zap.String("remedy", remedy), zap.Error(err))
	}
}

// Problems are shortages that status shows.
func (a *Accepts) Problems(now time.Time) []string { return a.failed.Problems(now, a.text) }

func (a *Accepts) text(r Resource) (what, remedy string) {
	if r == "" {
		return a.of + ": cannot accept connections, trying again", "the log has the error"
	}
	what, remedy = r.Text()
	return a.of + ": " + what, remedy
}
