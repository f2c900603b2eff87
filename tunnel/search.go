package tunnel

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/tunnel/redial"
)

// search keeps links to the replicas that answer at one address of a peer. That may be a load balancer's, which leads to
// any of them: a link stays with the replica that it met, and from time to time another one is looked for. As soon as none
// of the links takes streams (its replica goes away, ended or fell silent) or all connections of a transport have ended, the next one
// is dialed at once.
type search struct {
	n          *Node
	peer, addr string
	events     chan searchEvent

	found   map[*link]struct{} // with replicas that answer here
	dialing bool               // for a link that there is not yet
	usable  bool               // at the last look
	hurried time.Time          // when a loss was last answered without a pause
	next    time.Time          // not dialed before
	pace    redial.Pace        // after a failure
	pause   time.Duration      // after a success
	said    string             // why there is no link, as it was logged
}

// searchEvent is what became of a dialed link: it is there, or it has ended, or never was.
type searchEvent struct {
	link    *link
	err     error
	replica string // err ended the link with it; empty: there never was one
	began   time.Time
}

// dialAddress searches until ctx ends. The links that it has found live on in run, at most: where a peer is dialed may change
// without what is carried there.
func (n *Node) dialAddress(run, ctx context.Context, peer, addr string) {
	s := &search{
		n: n, peer: peer, addr: addr, events: make(chan searchEvent), found: make(map[*link]struct{}),
		pause: searchMin,
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for ctx.Err() == nil {
		s.step(run, ctx)
		select {
		case <-ctx.Done():
		case e := <-s.events:
			s.take(e)
		case <-t.C:
		}
	}
}

// step dials if it is time to.
func (s *search) step(run, ctx context.Context) {
	maps.DeleteFunc(s.found, func(l *link, _ struct{}) bool { return l.isDraining() }) // or ended
	usable := s.working()
	now := time.Now()
	if s.usable && !usable {
		s.hurry(now)
	}
	s.usable = usable
	if s.dialing || now.Before(s.next) || s.n.searchesNoMore(usable) {
		return
	}
	s.dialing = true
	pace := s.pace
	s.n.wg.Go(func() {
		began, replica := time.Now(), ""
		err := s.n.dialLink(run, ctx.Done(), s.peer, s.addr, pace, func(l *link) {
			replica = l.replica
			s.report(ctx, searchEvent{link: l})
		})
		if replica != "" && ctx.Err() != nil && run.Err() == nil { // this search is over
			s.ended(replica, err)
		}
		s.report(ctx, searchEvent{err: err, replica: replica, began: began})
	})
}

// hurry dials at once after a loss, or soon after one that follows another one.
func (s *search) hurry(now time.Time) {
	s.pause = searchMin
	if now.Sub(s.hurried) > hurryAgain {
		s.next, s.hurried = now, now
		return
	}
	if soon := now.Add(redial.Jitter(redial.Min)); soon.Before(s.next) {
		s.next = soon
	}
}

func (s *search) report(ctx context.Context, e searchEvent) {
	select {
	case s.events <- e:
	case <-ctx.Done():
	}
}

func (s *search) take(e searchEvent) {
	var dup *duplicateError
	switch {
	case e.link != nil:
		s.dialing = false
		s.found[e.link] = struct{}{}
		s.said, s.pause = "", searchMin
		s.rest()
	case e.replica == "" && errors.As(e.err, &dup):
		s.dialing = false
		s.found[dup.other] = struct{}{}
		s.pace.Reset()
		s.rest()
	case e.replica == "" && errors.Is(e.err, errMoving):
		s.dialing = false
		s.next = time.Now().Add(redial.Min)
	case e.replica == "":
		s.dialing = false
		s.failed(e.err)
	default: // a link has ended, whatever is being dialed
		s.ended(e.replica, e.err)
		s.pace.Worked(time.Since(e.began))
		if s.pace == (redial.Pace{}) {
			s.said = "" // it had worked
		}
		s.failed(e.err)
	}
}

func (s *search) ended(replica string, err error) {
	s.n.log.Info("link to peer replica ended", zap.String("peer", s.peer), zap.String("replica", replica),
		zap.String("address", s.addr), zap.String("error", plain(err)))
}

// rest waits before the next search, longer each time that nothing new was found.
func (s *search) rest() {
	s.next = time.Now().Add(redial.Jitter(s.pause))
	s.pause = min(2*s.pause, searchMax)
}

// failed waits before the next attempt, and logs why there is no link, if there is none.
func (s *search) failed(err error) {
	if s.working() {
		s.n.log.Debug("no other replica of the peer was found", zap.String("peer", s.peer), zap.String("address", s.addr),
			zap.String("error", plain(err)))
		s.rest()
		return
	}
	s.n.setLastError(s.peer, err)
	pause := s.pace.Failed(time.Now(), redial.Max)
	s.said = s.n.logDown(s.said, s.peer, s.addr, pause, err)
	s.next = time.Now().Add(pause)
}

// working: a link takes streams, and its replica has most likely not just ended.
func (s *search) working() bool {
	for l := range s.found {
		if l.usable() && !l.isRetired() && !l.collapsed() {
			return true
		}
	}
	return false
}

// linkedReplicas are those of the peer that need no other link, sorted.
func (n *Node) linkedReplicas(peer string) []string {
	links, _ := n.links(peer)
	var out []string
	for _, l := range links {
		if !l.isDraining() && !l.isRetired() {
			out = append(out, l.replica)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
