package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/eastway/eastway/tunnel/internal/balancer"
	"github.com/eastway/eastway/tunnel/transport"
)

// behindBalancer is a dialer of replicas of b behind a balancer. It is linked with the first one.
func behindBalancer(t *testing.T, replicas int, opts ...pairOption) (a *Node, lb *balancer.Balancer) {
	t.Helper()
	ca, cb := configs(t, append(opts, withHandler(echo))...)
	var addrs []string
	for i := range replicas {
		cb.Replica = fmt.Sprintf("b%d", i)
		n := startNode(t, cb)
		n.SetPeers([]Peer{{Name: "a"}})
		addrs = append(addrs, n.Addr().String())
	}
	lb = balancer.New(t, addrs...)
	a = startNode(t, ca)
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{lb.Addr}}})
	return a, lb
}

// openOnQUIC opens a stream on a QUIC lane, and waits for its answer.
func openOnQUIC(t *testing.T, n *Node) (*Stream, *conn) {
	t.Helper()
	var l *link
	var lane *conn
	await(t, "a QUIC lane", func() bool {
		for _, l = range n.allLinks() {
			for _, lane = range l.usableLanes() {
				if lane.sess.Caps().Name == "quic" {
					return true
				}
			}
		}
		return false
	})
	s, err := l.openOn(t.Context(), lane, header())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Reset("test is over") })
	<-s.Answered()
	if err := s.Outcome(); err != nil {
		t.Fatal(err)
	}
	return s, lane
}

func (n *Node) pathsThat(result transport.MoveResult) int {
	return int(testutil.ToFloat64(n.metrics.Paths.WithLabelValues("b", string(result))))
}

// transfer sends random bytes to a stream that echoes them, until it is stopped, and compares what comes back.
type transfer struct {
	read atomic.Int64
	stop atomic.Bool
	err  chan error
}

func startTransfer(s *Stream) *transfer {
	const piece = 16 << 10
	tr := &transfer{err: make(chan error, 2)}
	seed := [32]byte{1}
	go func() {
		from, buf := rand.NewChaCha8(seed), make([]byte, piece)
		for !tr.stop.Load() {
			_, _ = from.Read(buf)
			if _, err := s.Write(buf); err != nil {
				tr.err <- fmt.Errorf("write: %w", err)
				return
			}
		}
		tr.err <- s.CloseWrite()
	}()
	go func() {
		want, got, expect := rand.NewChaCha8(seed), make([]byte, piece), make([]byte, piece)
		for {
			_, err := io.ReadFull(s, got)
			if err == io.EOF { //nolint:errorlint // a cut-off piece is another error
				tr.err <- nil
				return
			}
			_, _ = want.Read(expect)
			if err == nil && !bytes.Equal(got, expect) {
				err = errors.New("other bytes than were sent")
			}
			if err != nil {
				tr.err <- fmt.Errorf("after %d bytes: %w", tr.read.Load(), err)
				return
			}
			tr.read.Add(piece)
		}
	}()
	return tr
}

// A transfer both ways, which loss keeps at the limit of its congestion window, goes on when the load balancer has forgotten its flow.
func TestTransferOutlivesItsPath(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"quic", "both"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			const some = 1 << 20
			a, lb := behindBalancer(t, 1, withTransport(over))
			s, lane := openOnQUIC(t, a)
			before, _ := lane.sess.Addrs()
			tr := startTransfer(s)
			await(t, "the transfer is under way", func() bool { return tr.read.Load() > some })
			lb.Forget(func(int, net.Addr) int { return 0 })
			await(t, "another path", func() bool {
				now, _ := lane.sess.Addrs()
				return now.String() != before.String() || len(tr.err) > 0
			})
			moved := tr.read.Load()
			await(t, "the transfer goes on", func() bool { return tr.read.Load() > moved+some || len(tr.err) > 0 })
			tr.stop.Store(true)
			for range cap(tr.err) {
				if err := <-tr.err; err != nil {
					t.Error(err)
				}
			}
			if lane.ended() {
				t.Errorf("the lane has ended: %s", lane.failReason())
			}
			await(t, "the move is counted", func() bool { return a.pathsThat("moved") > 0 })
		})
	}
}

// Two dialers of one address, one after the other: QUIC alone leads each of them to both replicas behind it.
func TestQUICReachesAllReplicas(t *testing.T) {
	t.Parallel()
	ca, cb := configs(t, withTransport("quic"), withHandler(echo))
	var addrs []string
	for i := range 2 {
		cb.Replica = fmt.Sprintf("b%d", i)
		n := startNode(t, cb)
		n.SetPeers([]Peer{{Name: "a"}})
		addrs = append(addrs, n.Addr().String())
	}
	lb := balancer.New(t, addrs...)
	lb.Forget(func(flow int, _ net.Addr) int { return flow % 2 })
	for i := range 2 {
		ca.Replica = fmt.Sprintf("a%d", i)
		a := startNode(t, ca)
		a.SetPeers([]Peer{{Name: "b", Addresses: []string{lb.Addr}}})
		await(t, "links to both replicas", func() bool {
			for _, l := range a.allLinks() {
				if c := l.controlConn(); c == nil || c.sess.Caps().Name != "quic" || len(l.usableLanes()) == 0 {
					return false
				}
			}
			return a.linkTo("b", "b0") != nil && a.linkTo("b", "b1") != nil
		})
		a.GoAway() // it searches no more: the two would take turns for ever
	}
}

func TestPathSilent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		silent, rtt time.Duration
		waiting     bool
		paused      time.Duration
		want        bool
	}{
		"late":             {silent: time.Second, waiting: true, want: true},
		"not late yet":     {silent: 999 * time.Millisecond, waiting: true},
		"nothing asked":    {silent: time.Hour},
		"far away":         {silent: time.Second, rtt: 300 * time.Millisecond, waiting: true},
		"far away, late":   {silent: 1200 * time.Millisecond, rtt: 300 * time.Millisecond, waiting: true, want: true},
		"we were paused":   {silent: time.Minute, waiting: true, paused: time.Minute},
		"long silence too": {silent: 5 * time.Second, waiting: true, want: true},
	} {
		if got := pathSilent(c.silent, c.rtt, c.waiting, c.paused); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
