package tunnel

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// balanced is a dialer and so many replicas of b behind a load balancer that gives each connection to the next one.
func balanced(t *testing.T, replicas int) (a *Node, b []*Node, w *network) {
	t.Helper()
	ca, cb := configs(t, withTransport("tcp"), withHandler(echo))
	for i := range replicas {
		cb.Replica = fmt.Sprintf("b%d", i)
		n := startNode(t, cb)
		n.SetPeers([]Peer{{Name: "a"}})
		b = append(b, n)
	}
	w = newNetwork(t, b[0].Addr().String())
	w.set(func() {
		for _, n := range b[1:] {
			w.others = append(w.others, n.Addr().String())
		}
	})
	a = startNode(t, ca)
	a.SetPeers([]Peer{{Name: "b", Addresses: []string{w.addr}}})
	return a, b, w
}

func complete(a *Node, links int) bool {
	all, _ := a.links("b")
	if len(all) != links {
		return false
	}
	for _, l := range all {
		if lanes, hasControl := l.laneCounts(); lanes["tcp"] < tcpLanes || !hasControl || !l.usable() {
			return false
		}
	}
	return true
}

// Behind one address there is a link with every replica, each with all its lanes, although no two connections in a row lead to the same one.
func TestLinksToAllReplicasOfOneAddress(t *testing.T) {
	t.Parallel()
	const replicas = 3
	a, _, _ := balanced(t, replicas)
	await(t, "links to all replicas", func() bool { return complete(a, replicas) })
	links, _ := a.links("b")
	seen := map[string]bool{}
	for _, l := range links {
		seen[l.replica] = true
	}
	if len(seen) != replicas {
		t.Errorf("links to %v", seen)
	}
	if st := a.Status(); st[0].LastError != "" {
		t.Errorf("status shows %q although nothing is wrong", st[0].LastError)
	}
}

// While one of two replicas goes away in order, as in a rolling update, streams are taken at any time.
func TestOneReplicaGoesAway(t *testing.T) {
	t.Parallel()
	a, b, w := balanced(t, 2)
	await(t, "links to both", func() bool { return complete(a, 2) })
	calls, failed := 0, error(nil)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			calls++
			if err := oneCall(t, a); err != nil && failed == nil {
				failed = fmt.Errorf("call %d: %w", calls, err)
			}
		}
	}()
	first := a.linkTo("b", b[0].cfg.Replica)
	w.set(func() { w.target, w.others = b[1].Addr().String(), nil })
	b[0].GoAway()
	await(t, "the GoAway is here", first.isDraining)
	if err := b[0].Drain(t.Context()); err != nil {
		t.Error(err)
	}
	<-first.gone
	close(stop)
	<-done
	if failed != nil || calls == 0 {
		t.Errorf("%d calls: %v", calls, failed)
	}
}

// The only replica goes away and still takes what has no other way, until there is one.
func TestLastResort(t *testing.T) {
	t.Parallel()
	a, b, w := balanced(t, 2)
	w.set(func() { w.others = nil })
	var first *link // with lanes: those that it has are all that it gets
	await(t, "a link", func() bool {
		links, _ := a.links("b")
		i := slices.IndexFunc(links, func(l *link) bool { return l.usable() && len(l.usableLanes()) > 0 })
		if i >= 0 {
			first = links[i]
		}
		return i >= 0
	})
	var gone, stays *Node
	for _, n := range b {
		if n.cfg.Replica == first.replica {
			gone = n
		} else {
			stays = n
		}
	}
	w.set(func() { w.target, w.others = gone.Addr().String(), nil }) // no other replica is to be found
	links, _ := a.links("b")
	for _, l := range links {
		if l != first {
			l.close("not in this test")
		}
	}
	gone.GoAway()
	await(t, "the GoAway is here", first.isDraining)
	if !a.State("b").Usable {
		t.Error("the peer is not usable any more")
	}
	if err := oneCall(t, a); err != nil {
		t.Errorf("a call that has no other way: %v", err)
	}
	w.redirect(stays.Addr().String())
	await(t, "the other replica is found", func() bool { return a.hasUsable("b") })
	if err := gone.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, "the first link ends in order", first.ended)
	if err := oneCall(t, a); err != nil {
		t.Errorf("a call after that: %v", err)
	}
}

// oneCall opens a stream that is answered.
func oneCall(t *testing.T, n *Node) error {
	t.Helper()
	s, err := n.Open(t.Context(), "b", header(), nil)
	if err != nil {
		return err
	}
	defer s.Reset("enough")
	<-s.Answered()
	if err := s.Outcome(); err != nil {
		return err
	}
	if s.Answer().GetCode() != tunnelpb.Answer_CODE_ACCEPTED {
		return errors.New("not accepted")
	}
	return nil
}
