package tunnel

import (
	"errors"
	"fmt"
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

// TestLimitText: what ends or refuses streams has a text with what to do; what costs throughput only has none.
func TestLimitText(t *testing.T) {
	t.Parallel()
	if what, _ := (limitKey{limit: limitHandshakes}).text(77); !strings.Contains(what, " 77 ") {
		t.Errorf("%q", what)
	}
	for _, l := range []transport.Limit{
		limitStreams, limitPeerStreams, limitLanes, limitHeaders, limitAbandoned, limitNewcomers,
		transport.LimitBacklog, transport.LimitPeer, transport.LimitMemory, transport.LimitWindow, transport.LimitRefusals,
	} {
		if what, remedy := (limitKey{"b", l}).text(1); !strings.HasPrefix(what, "peer b: ") || len(what) < 20 || remedy == "" {
			t.Errorf("%s: %q, %q", l, what, remedy)
		}
	}
	for _, l := range []transport.Limit{limitHandshakes, limitQUICHandshakes} { // of no peer
		if what, remedy := (limitKey{limit: l}).text(1); strings.Contains(what, "peer") || len(what) < 20 || remedy == "" {
			t.Errorf("%s: %q, %q", l, what, remedy)
		}
	}
	if what, _ := limitText(transport.LimitBuffer, 1); what != "" {
		t.Errorf("%s: %q", transport.LimitBuffer, what)
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
		if n := logs.FilterMessage("peer has met a limit").Len(); n != 2 {
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

// TestLanesAreFull: a peer all of whose lanes are full is not gone. An operator sees the limit, and the next stream is opened when there is a
// place.
func TestLanesAreFull(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	opts := []pairOption{withHandler(echo), func(a, _ *Config) { a.Metrics, a.Log = reg, zap.New(core) }}
	inBubble(t, "mem", opts, func(t *testing.T, p *bubbled) {
		lanes, refused := onlyLink(t, p.a).usableLanes(), 2
		fill := func(some []*conn) {
			for _, c := range some {
				c.active.Add(int32(c.sess.Caps().Streams))
			}
		}
		for fill(lanes); len(lanes) < lanes[0].sess.Caps().MaxLanes; { // full lanes get others beside them
			_, err := p.a.Open(t.Context(), "b", header(), nil)
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			refused++
			bubble.Pass(time.Second)
			more := onlyLink(t, p.a).usableLanes() // those that are not full
			fill(more)
			lanes = append(lanes, more...)
		}
		for range 2 {
			if _, err := p.a.Open(t.Context(), "b", header(), nil); !errors.Is(err, ErrFull) || errors.Is(err, ErrNoLane) {
				t.Errorf("%v", err)
			}
		}
		if !p.a.State("b").Usable {
			t.Error("the peer counts as gone")
		}
		if _, err := p.a.Open(t.Context(), "b", header(), []string{p.b.Replica()}); !errors.Is(err, ErrNoLane) {
			t.Errorf("to another replica: %v", err)
		}
		counted := fmt.Sprintf(`
# HELP eastway_tunnel_limits_met_total Streams or connections that met a limit.
# TYPE eastway_tunnel_limits_met_total counter
eastway_tunnel_limits_met_total{limit="lanes",peer="b"} %d
`, refused)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(counted), "eastway_tunnel_limits_met_total"); err != nil {
			t.Error(err)
		}
		if lines := logs.FilterMessage("peer has met a limit").All(); len(lines) != 1 || lines[0].ContextMap()["remedy"] == "" {
			t.Errorf("logged %v", lines)
		}
		if said := p.a.Problems(); len(said) != 1 || !strings.HasPrefix(said[0], "peer b: streams not opened: all lanes") {
			t.Errorf("status shows %q", said)
		}
		for _, c := range lanes {
			c.active.Add(-int32(c.sess.Caps().Streams))
		}
		s := p.open(t)
		<-s.Answered()
		if err := s.Outcome(); err != nil {
			t.Error(err)
		}
	})
}

// TestNewcomers: a replica that connects anew after too many others is refused, an operator sees it, and it gets in a little later.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	opts := []pairOption{func(_, b *Config) { b.Metrics, b.Log = reg, zap.New(core) }}
	inBubble(t, "mem", opts, func(t *testing.T, p *bubbled) {
		for p.b.newcomers.Admit("a", time.Now()) == 0 {
		}
		onlyLink(t, p.a).close("to connect anew")
		await(t, "it is refused", func() bool { return logs.FilterMessage("peer has met a limit").Len() == 1 })
		if problems := p.b.Problems(); len(problems) != 1 || !strings.Contains(problems[0], "peer a: replicas refused") {
			t.Errorf("status shows %q", problems)
		}
		p.awaitUsable(t)
		if n, err := testutil.GatherAndCount(reg, "eastway_tunnel_limits_met_total"); n != 1 || err != nil {
			t.Errorf("%d metrics: %v", n, err)
		}
	})
}
