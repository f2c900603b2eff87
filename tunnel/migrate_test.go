package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// behindBalancer is a dialler of replicas of b behind a balancer. It is linked with the first one.
func behindBalancer(t *testing.T, replicas int, opts ...pairOption) (a *Node, lb *balancer) {
	t.Helper()
	ca, cb := configs(t, append(opts, withHandler(echo))...)
	var addrs []string
	for i := range replicas {
		cb.Replica = fmt.Sprintf("b%d", i)
		n := startNode(t, cb)
		n.SetPeers([]Peer{{Name: "a"}})
		addrs = append(addrs, n.Addr().String())
	}
	lb = newBalancer(t, addrs...)
	a = startNode(t, ca)
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{lb.addr}}})
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
				if lane.sess.transport() == "quic" {
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

func (n *Node) pathsThat(result string) int {
	return int(testutil.ToFloat64(n.metrics.paths.WithLabelValues("b", result)))
}

// transfer sends bytes that nobody can guess to a stream that echoes them, until told to stop, and compares what comes back.
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
	for _, transport := range []string{"quic", "both"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			const some = 1 << 20
			a, lb := behindBalancer(t, 1, withTransport(transport))
			lb.mu.Lock()
			lb.lose = 64
			lb.mu.Unlock()
			s, lane := openOnQUIC(t, a)
			before, _ := lane.sess.addrs()
			tr := startTransfer(s)
			await(t, "the transfer is under way", func() bool { return tr.read.Load() > some })
			lb.forget(func(int, net.Addr) int { return 0 })
			await(t, "another path", func() bool {
				now, _ := lane.sess.addrs()
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
			await(t, "the move is counted", func() bool { return a.pathsThat(pathMoved) > 0 })
		})
	}
}

// The load balancer leads two of three new flows to a replica that knows nothing of the connection.
func TestPathToTheRightReplica(t *testing.T) {
	t.Parallel()
	a, lb := behindBalancer(t, 2)
	s, lane := openOnQUIC(t, a)
	socket := lane.sess.(*quicSession).socket
	lb.forget(func(_ int, from net.Addr) int {
		if i := socket.triedAs(from); i == 0 || i == 1 {
			return 1
		}
		return 0
	})
	var search *pathSearch
	await(t, "a search", func() bool {
		search = socket.search.Load()
		return search != nil
	})
	<-search.moved
	mustEcho(t, s)
	if i := socket.tried(search, socket.LocalAddr()); i < 2 || lane.ended() {
		t.Errorf("socket %d is in use, ended: %v", i, lane.ended())
	}
}

// tried is which of a search's sockets has the port of addr, from 0; below 0: none.
func (m *movingSocket) tried(search *pathSearch, addr net.Addr) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.IndexFunc(search.tried, func(s *udpSocket) bool {
		return s.LocalAddr().(*net.UDPAddr).Port == addr.(*net.UDPAddr).Port
	})
}

// triedAs is tried of the search under way.
func (m *movingSocket) triedAs(addr net.Addr) int {
	if search := m.search.Load(); search != nil {
		return m.tried(search, addr)
	}
	return -1
}

// No path leads anywhere: the lane ends as it always did, and nothing stays behind.
func TestNoPath(t *testing.T) {
	t.Parallel()
	a, lb := behindBalancer(t, 1, withTransport("quic"))
	s, lane := openOnQUIC(t, a)
	q := lane.sess.(*quicSession)
	socket := q.socket
	lb.forget(func(int, net.Addr) int { return -1 })
	var search *pathSearch
	await(t, "a search", func() bool {
		search = socket.search.Load()
		return search != nil
	})
	if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
		t.Errorf("the stream ended with %v", err)
	}
	await(t, "the sockets are closed", func() bool {
		return errors.Is(socket.SetReadDeadline(time.Time{}), net.ErrClosed)
	})
	await(t, "the search is over", func() bool { return !q.searching.Load() && a.pathsThat(pathFailed) > 0 })
	if n := len(search.tried); n < 2 || n > maxPathProbes {
		t.Errorf("%d sockets were tried", n)
	}
	for _, tried := range search.tried {
		if err := tried.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a socket that was tried is open: %v", err)
		}
	}
}

// The old path works again before a new one is found: it is kept.
func TestPathRecovers(t *testing.T) {
	t.Parallel()
	p, w := newWiredPair(t, withTransport("quic"), withHandler(echo))
	s, lane := openOnQUIC(t, p.a)
	before, _ := lane.sess.addrs()
	w.set(func() { w.silent = true })
	socket := lane.sess.(*quicSession).socket
	await(t, "a search", func() bool { return socket.search.Load() != nil })
	socket.endSearch(socket.search.Load()) // none of the new ones will do
	w.set(func() { w.silent = false })
	await(t, "it is over", func() bool { return p.a.pathsThat(pathRecovered) > 0 })
	mustEcho(t, s)
	if now, _ := lane.sess.addrs(); now.String() != before.String() {
		t.Errorf("moved from %v to %v", before, now)
	}
}

// Two diallers of one address, one after the other: QUIC alone leads each of them to both replicas behind it.
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
	lb := newBalancer(t, addrs...)
	lb.forget(func(flow int, _ net.Addr) int { return flow % 2 })
	for i := range 2 {
		ca.Replica = fmt.Sprintf("a%d", i)
		a := startNode(t, ca)
		a.SetPeers([]Peer{{Name: "b", Addresses: []string{lb.addr}}})
		await(t, "links to both replicas", func() bool {
			for _, l := range a.allLinks() {
				if c := l.controlConn(); c == nil || c.sess.transport() != "quic" || len(l.usableLanes()) == 0 {
					return false
				}
			}
			return a.linkTo("b", "b0") != nil && a.linkTo("b", "b1") != nil
		})
		a.GoAway() // it searches no more: the two would take turns for ever
	}
}

// What only pretends to come from the peer moves nothing.
func TestStrangerMovesNothing(t *testing.T) {
	t.Parallel()
	listen := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	peer, stranger := listen(), listen()
	m, err := newMovingSocket(peer.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	search := m.startSearch()
	if err := m.try(search); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteTo([]byte("hello"), peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	old := m.LocalAddr().(*net.UDPAddr).Port
	var tried *net.UDPAddr
	buf := make([]byte, maxDatagram)
	for range 2 { // from both
		_, from, err := peer.ReadFromUDP(buf)
		if err != nil {
			t.Fatal(err)
		}
		if from.Port != old {
			tried = from
		}
	}
	if tried == nil {
		t.Fatal("nothing was sent from the new socket")
	}
	id, err := m.ids.GenerateConnectionID()
	if err != nil {
		t.Fatal(err)
	}
	answer := append([]byte{0x40}, id.Bytes()...)
	_, _ = stranger.WriteTo(append(slices.Clone(answer), "stranger"...), tried)
	_, _ = peer.WriteTo([]byte("@nobody's"), tried) // a short header, too
	_, _ = peer.WriteTo(answer, tried)
	<-search.moved
	n, from, err := m.ReadFrom(buf)
	if err != nil || !bytes.Equal(buf[:n], answer) || from.String() != peer.LocalAddr().String() {
		t.Errorf("%q from %v, %v", buf[:n], from, err)
	}
	if at := m.LocalAddr().(*net.UDPAddr).Port; at != tried.Port {
		t.Errorf("port %d is in use, not %d", at, tried.Port)
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

// A ping that takes the place of another one is the only one whose answer counts.
func TestPingAgain(t *testing.T) {
	t.Parallel()
	var p pingState
	start := time.Now()
	first, _ := p.due(start, 0)
	second := p.again(start.Add(time.Second))
	if _, ok := p.pong(first, start.Add(1010*time.Millisecond)); ok || !p.waiting {
		t.Error("the answer to the first ping counts")
	}
	if _, ok := p.pong(second, start.Add(1020*time.Millisecond)); !ok || p.srtt != 20*time.Millisecond {
		t.Errorf("srtt %v", p.srtt)
	}
}

// TestWriteErrorStaysTheSame: what fails from another port each time is told in the same words.
func TestWriteErrorStaysTheSame(t *testing.T) {
	t.Parallel()
	peer := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
	tooLong := make([]byte, 1<<16)
	words := make(map[string]bool)
	for range 2 {
		m, err := newMovingSocket(peer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.WriteTo(tooLong, peer); err == nil {
			t.Fatal("it was sent")
		}
		words[err.Error()] = true
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(words) != 1 {
		t.Errorf("%v", words)
	}
}
