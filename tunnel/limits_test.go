package tunnel

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/tally"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func TestLimitBook(t *testing.T) {
	t.Parallel()
	b, k, other := newLimitBook(), limitKey{"b", transport.LimitBacklog}, limitKey{"c", limitStreams}
	start := time.Unix(1000, 0)
	for _, step := range []struct {
		after  time.Duration
		key    limitKey
		n, log uint64
		shown  int
	}{
		{0, k, 1, 1, 1},
		{time.Second, k, 2, 0, 1},
		{2 * time.Second, other, 5, 5, 2}, // each limit and peer for itself
		{tally.LogInterval - 1, k, 1, 0, 2},
		{tally.LogInterval, k, 4, 7, 2},
		{tally.Shown + 3*time.Second, k, 1, 1, 1}, // the other one is over
		{3 * tally.Shown, k, 1, 1, 1},
	} {
		now := start.Add(step.after)
		if log := b.note(now, step.key, step.n); log != step.log {
			t.Errorf("after %v: %d are logged, want %d", step.after, log, step.log)
		}
		if shown := b.problems(now); len(shown) != step.shown {
			t.Errorf("after %v: %q are shown", step.after, shown)
		}
	}
	const want = "peer b: streams refused: 256 wait to be accepted here (1×, last 5s ago): give this cluster's proxies more CPU, or run more of them"
	if got := b.problems(start.Add(3*tally.Shown + 5*time.Second)); !slices.Equal(got, []string{want}) {
		t.Errorf("%q", got)
	}
}

// limitedSession is a session whose limits were met.
type limitedSession struct {
	transport.Session
	met map[transport.Limit]uint64
}

func (s limitedSession) Limits() map[transport.Limit]uint64 { return s.met }

// TestLimitsAreSeen: a stream that is refused, and what its session counts, show in a metric, one log line and status.
func TestLimitsAreSeen(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	opts := []pairOption{withHandler(echo), func(_, b *Config) { b.Metrics, b.Log = reg, zap.New(core) }}
	inBubble(t, "mem", opts, func(t *testing.T, p *bubbled) {
		l := onlyLink(t, p.b)
		for _, c := range l.connections() {
			c.active.Add(maxLaneStreams)
		}
		for range 2 {
			s := p.open(t)
			<-s.Answered()
			var refused *RefusedError
			if err := s.Outcome(); !errors.As(err, &refused) || refused.Code != tunnelpb.Answer_CODE_OVERLOADED {
				t.Errorf("outcome %v", err)
			}
		}
		c := &conn{sess: limitedSession{met: map[transport.Limit]uint64{transport.LimitWindow: 3, transport.LimitBuffer: 9}}, name: "tcp-1"}
		l.meetSession(c)
		l.meetSession(c) // nothing new
		const counted = `
# HELP eastway_tunnel_limits_met_total Streams or connections that met a limit.
# TYPE eastway_tunnel_limits_met_total counter
eastway_tunnel_limits_met_total{limit="buffer",peer="a"} 9
eastway_tunnel_limits_met_total{limit="streams",peer="a"} 2
eastway_tunnel_limits_met_total{limit="window",peer="a"} 3
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(counted), "eastway_tunnel_limits_met_total"); err != nil {
			t.Error(err)
		}
		if n := logs.FilterMessage("streams have met a limit").Len(); n != 2 {
			t.Errorf("%d lines: %v", n, logs.All())
		}
		if problems := p.b.Problems(); len(problems) != 2 {
			t.Errorf("status shows %q", problems)
		}
		bubble.Pass(tally.Shown + time.Second)
		if problems := p.b.Problems(); len(problems) != 0 {
			t.Errorf("status still shows %q", problems)
		}
	})
}
