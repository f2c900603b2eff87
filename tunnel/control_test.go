package tunnel

import (
	"context"
	"io"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// onlyLink is the node's link when it has exactly one.
func onlyLink(t *testing.T, n *Node) *link {
	t.Helper()
	links := n.allLinks()
	if len(links) != 1 {
		t.Fatalf("there are %d links, not 1", len(links))
	}
	return links[0]
}

func (l *link) controlConn() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.control
}

// loseControl ends the control connection as a middlebox would, and returns when the link knows.
func loseControl(t *testing.T, l *link) {
	t.Helper()
	old := l.controlConn()
	old.fail("lost in a test")
	await(t, "the link has noticed", func() bool { return l.controlConn() != old })
}

// awaitControl waits for the link's next control connection; another link does not count.
func awaitControl(t *testing.T, l *link) {
	t.Helper()
	await(t, "the control connection is back", func() bool {
		if l.ended() {
			t.Fatal("the link was given up although its lanes work")
		}
		return l.controlConn() != nil
	})
}

// mustEcho sends some bytes through an open stream and back.
func mustEcho(t *testing.T, s *Stream) {
	t.Helper()
	if _, err := s.Write([]byte("ping")); err != nil {
		t.Fatalf("stream on %s, a healthy lane: %v", s.Info().Lane, err)
	}
	var b [4]byte
	if _, err := io.ReadFull(s, b[:]); err != nil || string(b[:]) != "ping" {
		t.Fatalf("stream on %s, a healthy lane: %q, %v", s.Info().Lane, b, err)
	}
}

// addLane adds a TCP lane to a dialed link beyond those that it wants.
func addLane(t *testing.T, n *Node, l *link, addr string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // the link's
	d := &linkDialer{n: n, peer: l.peer, addr: addr, id: l.id, link: l, number: 100}
	sess, err := d.dial(ctx, n.transports[0], addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.join(ctx, sess, addr); err != nil {
		t.Fatal(err)
	}
}

// TestControlLostWithSurplusLanes: lanes beyond the target do not count against the dial that brings the control connection back.
func TestControlLostWithSurplusLanes(t *testing.T) {
	t.Parallel()
	p, w := newWiredPair(t, withHandler(echo))
	await(t, "lanes of both", func() bool { return lanesOf(p.a, "tcp") == tcpLanes && lanesOf(p.a, "quic") == quicLanes })
	l := onlyLink(t, p.a)
	for range 2 {
		addLane(t, p.a, l, w.addr)
	}
	s := p.open(t)
	for s.Info().Transport != "tcp" {
		s = p.open(t)
	}
	<-s.Answered()
	w.set(func() { w.noUDP = [2]bool{true, true} })
	loseControl(t, l)
	awaitControl(t, l)
	mustEcho(t, s)
}

// TestControlLostWhileDraining: a link that drains gets its control connection back, for the streams that are left on it.
func TestControlLostWhileDraining(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p, _ := newWiredPair(t, withTransport(transport), withHandler(echo))
		await(t, "a lane", func() bool { return lanesOf(p.a, "tcp")+lanesOf(p.a, "quic") > 0 })
		s := p.open(t)
		<-s.Answered()
		l := onlyLink(t, p.a)
		l.drain("duplicate")
		loseControl(t, l)
		awaitControl(t, l)
		mustEcho(t, s)
	})
}

// TestControlLostAtAnotherAddress: what a link was found at is gone, and its control connection with it. It gets another one where the
// peer is dialed now, and its streams go on.
func TestControlLostAtAnotherAddress(t *testing.T) {
	t.Parallel()
	p, w := newWiredPair(t, withTransport("tcp"), withHandler(echo))
	await(t, "all lanes, so that none is dialed any more", func() bool { return lanesOf(p.a, "tcp") == tcpLanes && lanesOf(p.b, "tcp") == tcpLanes })
	s := p.open(t)
	<-s.Answered()
	l := onlyLink(t, p.a)
	w.set(func() { w.target = deadAddress(t) }) // for new connections
	loseControl(t, l)
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{p.b.Addr().String()}}})
	await(t, "the link is retired", l.isRetired)
	awaitControl(t, l)
	mustEcho(t, s)
}

// startReplicas starts two replicas of b, with a wire that leads to the first, and a dialer that logs into what is returned.
func startReplicas(t *testing.T, transport string, prepare func(*network)) (a, second *Node, w *network, logs *observer.ObservedLogs) {
	t.Helper()
	ca, cb := configs(t, withTransport(transport), withHandler(echo))
	first := startNode(t, cb)
	cb.Replica = "b2"
	second = startNode(t, cb)
	for _, b := range []*Node{first, second} {
		b.SetPeers([]Peer{{Name: "a"}})
	}
	w = newNetwork(t, first.Addr().String())
	prepare(w)
	core, logs := observer.New(zap.DebugLevel)
	ca.Log = zap.New(core)
	a = startNode(t, ca)
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{w.addr}}})
	await(t, "usable", func() bool { return a.State("b").Usable })
	return a, second, w, logs
}

func (l *link) ended() bool {
	select {
	case <-l.gone:
		return true
	default:
		return false
	}
}

// TestReplicaRestarted: a process that was killed leaves its QUIC connections silent. Another one at its address is linked at
// once, the end of the old link is not waited for.
func TestReplicaRestarted(t *testing.T) {
	t.Parallel()
	// QUIC brings the control connection while TCP waits.
	a, second, w, logs := startReplicas(t, "both", func(w *network) { w.set(func() { w.noTCP = true }) })
	w.set(func() { w.noTCP = false })
	await(t, "lanes of both", func() bool { return lanesOf(a, "tcp") == tcpLanes && lanesOf(a, "quic") > 0 })
	l := onlyLink(t, a)
	if c := l.controlConn(); c == nil || c.sess.Caps().Name != "quic" {
		t.Fatal("the control connection is not over QUIC")
	}
	w.redirect(second.Addr().String())
	w.cut()
	await(t, "linked to the new process", func() bool {
		fresh := a.linkTo("b", "b2")
		return fresh != nil && fresh.usable() && a.State("b").Usable
	})
	if l.ended() {
		t.Error("the new process was looked for only after the old one had been given up")
	}
	<-l.gone
	await(t, "the log has why the old link ended", func() bool {
		ended := logs.FilterMessage("link to peer replica ended").All()
		return len(ended) == 1 && ended[0].ContextMap()["replica"] == l.replica && ended[0].ContextMap()["error"] != ""
	})
	if links, _ := a.links("b"); len(links) != 1 {
		t.Errorf("%d links", len(links))
	}
}

// TestRedialReachesAnotherReplica: behind a load balancer the dial that replaces the control connection may land elsewhere. The
// lanes that stand are kept until one lands where it should.
func TestRedialReachesAnotherReplica(t *testing.T) {
	t.Parallel()
	a, second, w, _ := startReplicas(t, "tcp", func(*network) {})
	first := w.leadsTo()
	await(t, "all lanes", func() bool { return lanesOf(a, "tcp") == tcpLanes })
	l := onlyLink(t, a)
	s, err := a.Open(t.Context(), "b", header(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset("test is over")
	<-s.Answered()
	w.redirect(second.Addr().String())
	loseControl(t, l)
	await(t, "the redial has landed on the other replica", func() bool {
		return w.ledTo(second.Addr().String()) > 1 || l.ended() // one has been refused before the next
	})
	if len(second.allLinks()) > 0 {
		t.Error("the other replica took the connection for a link of its own")
	}
	w.redirect(first)
	awaitControl(t, l)
	mustEcho(t, s)
}
