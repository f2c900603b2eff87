package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/internal/balancer"
)

// behindBalancer is a's session with the first of b's replicas behind a balancer, and a stream of it that is echoed.
func behindBalancer(t *testing.T, replicas int) (*quicSession, Stream, *balancer.Balancer) {
	t.Helper()
	w := newWorld(t)
	var addrs []string
	var first *listening
	for range replicas {
		ln := w.listen(t, NewQUIC())
		if first == nil {
			first = ln
		}
		addrs = append(addrs, ln.Addr().String())
	}
	lb := balancer.New(t, addrs...)
	sess := w.dial(t, NewQUIC(), lb.Addr)
	b := <-first.sessions
	t.Cleanup(func() { b.Close("test is over") })
	go echo(b)
	st, err := sess.Open()
	if err != nil {
		t.Fatal(err)
	}
	mustEcho(t, st)
	return sess.(*quicSession), st, lb
}

func mustEcho(t *testing.T, s Stream) {
	t.Helper()
	if _, err := s.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	var b [4]byte
	if _, err := io.ReadFull(s, b[:]); err != nil || string(b[:]) != "ping" {
		t.Fatalf("%q, %v", b, err)
	}
}

// pinger sends something on a stream of its own.
func pinger(t *testing.T, s Session) func() {
	t.Helper()
	st, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	return func() { _, _ = st.Write([]byte("ping")) }
}

// moveQuiet searches again when the peer was heard on the old path: datagrams may still have been under way there.
func moveQuiet(q *quicSession, ping func()) (got MoveResult) {
	for range 5 {
		if got = q.Move(ping); got != Recovered {
			break
		}
	}
	return got
}

// TestMoveToTheRightReplica: the load balancer leads two of three new flows to a replica that knows nothing of the session.
func TestMoveToTheRightReplica(t *testing.T) {
	t.Parallel()
	q, st, lb := behindBalancer(t, 2)
	ping := pinger(t, q)
	var at atomic.Int32
	lb.Forget(func(flow int, _ net.Addr) int {
		if flow < 2 {
			return 1
		}
		at.Store(int32(flow))
		return 0
	})
	if got := moveQuiet(q, ping); got != Moved {
		t.Fatalf("the session has %s", got)
	}
	mustEcho(t, st)
	if at.Load() < 2 {
		t.Error("it did not pass the sockets that lead elsewhere")
	}
}

// TestMoveFails: no path leads anywhere, the session ends, and nothing stays behind.
func TestMoveFails(t *testing.T) {
	t.Parallel()
	q, st, lb := behindBalancer(t, 1)
	ping := pinger(t, q)
	lb.Forget(func(int, net.Addr) int { return -1 })
	result := make(chan MoveResult)
	go func() { result <- moveQuiet(q, ping) }()
	var search *pathSearch
	await(t, "two sockets are tried", func() bool {
		search = q.socket.search.Load()
		return search != nil && q.socket.tried(search) > 1
	})
	q.Close("dead")
	if got := <-result; got != Failed {
		t.Errorf("the session has %s", got)
	}
	if _, err := io.ReadAll(st); err == nil {
		t.Error("the stream ended cleanly")
	}
	await(t, "the socket is closed", q.socket.isClosed) // quic-go sets a read deadline to end its reader: no test may touch it
	for _, tried := range search.tried {
		if err := tried.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a socket that was tried is open: %v", err)
		}
	}
}

func (m *movingSocket) tried(search *pathSearch) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(search.tried)
}

func (m *movingSocket) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// TestMoveRecovers: the old path works again before a new one is found, so it is kept.
func TestMoveRecovers(t *testing.T) {
	t.Parallel()
	q, st, _ := behindBalancer(t, 1)
	ping := pinger(t, q)
	before, _ := q.Addrs()
	result := make(chan MoveResult)
	hold := make(chan struct{})
	go func() {
		result <- q.Move(func() {
			<-hold // nothing is sent, so nothing is heard, until the search has no socket left
			ping()
		})
	}()
	await(t, "a search", func() bool { return q.socket.search.Load() != nil })
	q.socket.endSearch(q.socket.search.Load())
	close(hold)
	if got := <-result; got != Recovered {
		t.Errorf("the session has %s", got)
	}
	mustEcho(t, st)
	if now, _ := q.Addrs(); now.String() != before.String() {
		t.Errorf("moved from %v to %v", before, now)
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

// TestWriteErrorStaysTheSame: what fails from another port each time has the same text.
func TestWriteErrorStaysTheSame(t *testing.T) {
	t.Parallel()
	peer := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}
	tooLong := make([]byte, 1<<16)
	texts := make(map[string]bool)
	for range 2 {
		m, err := newMovingSocket(peer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = m.WriteTo(tooLong, peer); err == nil {
			t.Fatal("it was sent")
		}
		texts[err.Error()] = true
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(texts) != 1 {
		t.Errorf("%v", texts)
	}
}
