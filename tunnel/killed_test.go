package tunnel

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/vitals"
)

// killed runs f on a pair over both transports after the process of b was killed: its TCP connections have ended, and what is like QUIC
// is silent.
func killed(t *testing.T, before, after func(t *testing.T, p *bubbled)) {
	t.Helper()
	inBubble(t, "both", []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
		await(t, "lanes of both", func() bool { return lanesOf(p.a, "tcp") == tcpLanes && lanesOf(p.a, "mem") > 0 })
		before(t, p)
		p.mem.Hold(true)
		p.procs[1].Kill()
		bubble.Pass(2 * latency)
		after(t, p)
	})
}

// TestKilledReplicaIsReplacedAtOnce: what waits for the replica that was killed moves on to its successor as soon as that is there, long before
// silence alone would have made it suspect.
func TestKilledReplicaIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	killed(t, func(*testing.T, *bubbled) {}, func(t *testing.T, p *bubbled) {
		began := time.Now()
		waits := p.open(t) // its header is on the silent lane
		next := p.configs[1]
		next.Replica = "b2"
		tunnels := simnet.Tunnels{Process: p.hosts[1].Start()}
		next.Transports = []transport.Transport{transport.NewTCP(transport.TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen})}
		startNode(t, next).SetPeers([]Peer{{Name: "a"}})
		<-waits.Suspect()
		if took := time.Since(began); took >= vitals.SuspectAfter/2 {
			t.Errorf("the call was held up for %v", took)
		}
		s := p.open(t)
		if s.Info().Replica != "b2" {
			t.Errorf("the next call went to %+v", s.Info())
		}
		mustEcho(t, s)
	})
}

// TestKilledReplicaEndsStreams: streams on lanes that do not show the end of the process are reset much earlier than after a mere silence.
func TestKilledReplicaEndsStreams(t *testing.T) {
	t.Parallel()
	var s *Stream
	killed(t, func(t *testing.T, p *bubbled) {
		l := onlyLink(t, p.a)
		lanes := l.usableLanes()
		i := slices.IndexFunc(lanes, func(c *conn) bool { return c.sess.Caps().Name == "mem" })
		var err error
		if s, err = l.openOn(t.Context(), lanes[i], header()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(s, "POST"); err != nil {
			t.Fatal(err)
		}
		<-s.Answered()
	}, func(t *testing.T, _ *bubbled) {
		began := time.Now()
		<-s.Done()
		if took := time.Since(began); took > vitals.GoneAfter+controlPingInterval || took < vitals.GoneAfter-controlPingInterval {
			t.Errorf("it was reset after %v", took)
		}
		if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// TestLostLaneIsNoEnd: a transport that is cut off once while the process lives ends no stream of the others.
func TestLostLaneIsNoEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, "both", []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
		await(t, "lanes of both", func() bool { return lanesOf(p.a, "tcp") == tcpLanes && lanesOf(p.a, "mem") > 0 })
		l := onlyLink(t, p.a)
		for _, c := range l.connections() {
			if c.sess.Caps().Name == "tcp" {
				c.sess.Close("cut by a load balancer")
			}
		}
		bubble.Pass(2 * vitals.GoneAfter)
		if onlyLink(t, p.a) != l || l.collapsed() || lanesOf(p.a, "tcp") != tcpLanes {
			t.Errorf("%+v", p.a.Status())
		}
	})
}
