package http

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/http/bounds"
)

// try is one attempt to get an answer.
type try struct {
	up *upstream
	// pending: up has not been answered when the request is sent; nil: it has.
	pending *dial.Conn
	// report is a peer's, and byPeer true if it has made one.
	report report
	byPeer bool
	body   *tryBody // nil: there is none
	reused bool
	ended  bool
	// blame is what the try means for the candidate.
	blame   balance.Outcome
	use     *balance.Use
	resp    *http.Response
	opening opening
	err     error
	outcome outcome
	// headed: the head of an answer came, whatever came after it.
	headed bool
	// spared: it is the client that did not get the answer.
	spared bool
	// late: the peer has not answered pending in time.
	late atomic.Bool
	// cause is why it was ended here before its answer.
	cause  error
	cancel context.CancelCauseFunc
}

// judge is how a round trip ended; sent is what had been written before it.
func (t *try) judge(r *balance.Retries, sent int64) outcome {
	if s, ok := t.up.wire.Conn.(streamConn); ok && t.err == nil && s.Answer().GetHttp() {
		if t.report, t.byPeer = takeReport(t.resp.Header), true; t.report.outcome != answered {
			return t.report.outcome
		} else if t.report.endpoint == "" {
			return answered // the peer's proxy has answered, for good
		}
	}
	switch {
	case t.err == nil:
		o, _ := judge(r, t.resp)
		return o
	case t.unsent(sent), t.up.wire.isUnused(), t.up.target.h2 && notProcessed(t.err):
		return notExecuted
	case t.tooSlow():
		return timedOut
	default:
		return unknown
	}
}

// opened waits for the first part of an answer that is to be passed on; ctx is the try's. If it does not come, there is no answer.
func (t *try) opened(ctx context.Context, o outcome, buffers *sync.Pool) outcome {
	if t.headed = t.resp != nil; o != answered {
		return o
	}
	if t.err = t.opening.await(t.resp.Body, t.resp.ContentLength, buffers); t.err == nil {
		return answered
	}
	_ = t.resp.Body.Close()
	if t.resp, t.cause = nil, context.Cause(ctx); t.tooSlow() {
		return timedOut
	}
	return unknown
}

// unsent is true when nothing was written since. Of HTTP/2 net/http does not wait for a write that is under way, or about to begin, when
// a try is ended here: the endpoint may get the request all the same.
func (t *try) unsent(since int64) bool {
	return t.up.wire.written.Load() == since && (!t.up.target.h2 || t.cause == nil)
}

// reason is why another try follows.
func (t *try) reason(o outcome, r *balance.Retries) string {
	switch o {
	case timedOut:
		return "timeout"
	case notExecuted:
		return "not_executed"
	case unavailable:
		_, reason := judge(r, t.resp)
		return reason
	default:
		return "unknown"
	}
}

// mark adds what the next hop has to know of this try; of the first one to h itself, unless HTTP/2 may use it longer.
func (r *route) mark(h http.Header, t *try, before string) http.Header {
	if r.all > 1 || t.up.target.h2 {
		h = maps.Clone(h)
	}
	h.Del(callHeader)
	if r.all > 1 {
		h.Set(attemptHeader, strconv.Itoa(r.attempt(before)))
	}
	if peer := t.up.target.address.Peer; peer != "" && t.up.at.HTTP && !t.up.wire.isPlain() {
		c := r.call
		c.tried = r.tried.At(peer)
		h.Set(callHeader, c.String())
	}
	return h
}

// attempt is the number of the try. A peer counts on from those before it.
func (r *route) attempt(before string) int {
	if r.front.from.peer != "" {
		if n, err := strconv.Atoi(before); err == nil && n > 0 && n < maxSafeTries {
			return n + r.all - 1
		}
	}
	return r.all
}

// learn takes in how a try went: what was tried, and what the candidate is to blame for.
func (r *route) learn(t *try, o outcome) {
	if o != notExecuted {
		r.unheard = bounds.Streak{}
	}
	peer, elsewhere := t.up.target.address.Peer, false
	switch {
	case t.pending != nil:
		c := r.cfg.Dialer.Conclude(t.pending)
		t.blame, elsewhere = c.Outcome, c.Elsewhere
		if t.late.Load() {
			t.blame.Failure = balance.PeerFailure
		}
		r.waits = t.err != nil
	case t.reused && t.err != nil && o != timedOut && !t.headed: // the connection may have been unused for too long: no failure of the endpoint
		r.fresh = true
		return
	}
	switch {
	case t.report.busy:
		t.blame.RetryAfter, t.blame.Full = t.report.hold, t.report.full
	case t.byPeer && o == notExecuted: // no endpoint of the service accepted a connection there
		t.blame.Failure, t.blame.Untaken = balance.PeerFailure, true
	case peer == "":
		t.blame.Failure = t.missing(o)
	}
	if !elsewhere {
		r.note(t, o)
	}
}

// note takes in what a try has reached.
func (r *route) note(t *try, o outcome) {
	peer := t.up.target.address.Peer
	if peer != "" && !t.byPeer && o == unknown && !t.late.Load() {
		r.tried.Cut(t.up.at.Address)
		return
	}
	r.tried.Add(t.up.at.Address)
	if t.byPeer && o != notExecuted {
		r.tried.AddAt(peer, t.report.endpoint)
	}
}

// record adds a try to the access log.
func (r *route) record(t *try, o outcome, p *balance.Retries, took time.Duration) {
	result, reason := "answered", ""
	switch {
	case t.err != nil:
		result, reason = o.String(), access.Clip(t.err.Error())
	case o == unavailable:
		_, result = judge(p, t.resp)
	}
	r.entry.Attempts = append(r.entry.Attempts, access.Attempt{
		Target: t.up.at.String(), Cluster: t.up.at.Cluster, Result: result, Reason: reason, Took: took, AtPeer: t.report.took,
	})
}

// hurry gives up a connection that is pending when its peer has not answered within the time for one attempt to connect, or, if the
// request cannot be repeated then, for all of them. Until stop.
func (t *try) hurry(budget time.Duration, mayRepeat bool) (stop func()) {
	if t.pending == nil {
		return func() {}
	}
	within, stream := budget, t.pending.Stream
	if mayRepeat {
		within = min(within, t.pending.ConnectTimeout)
	}
	timer := time.AfterFunc(within, func() {
		select {
		case <-stream.Answered():
		default:
			t.late.Store(true)
			stream.Reset("the peer has not answered in time")
		}
	})
	return func() { timer.Stop() }
}
