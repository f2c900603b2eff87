package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"sync/atomic"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/http/bounds"
	"github.com/eastway/eastway/failover/http/conn"
	"github.com/eastway/eastway/failover/ratelimit"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/internal/source"
)

// exchange is one request of a client and its tries.
type exchange struct {
	route
	heads
	r *http.Request

	cookie   *http.Cookie  // that the client gets; nil: none
	out      *http.Request // what is sent, without its body
	body     *body         // nil: there is none
	trailers []string      // that the request announces
	current  *try          // not ended; nil: none
	last     *try          // nil: there was none
	tries    int           // that an endpoint may have seen
	// received counts the bytes of the client's body.
	received atomic.Int64
	repeats  repeats
	times    times
}

// serveHTTP carries one request.
func (h *Handler) serveHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := r.Context().Value(frontKey{}).(*front)
	if !ok || !f.begin() {
		panic(http.ErrAbortHandler)
	}
	defer f.ended()
	e := &exchange{heads: heads{w: w}, r: r, route: route{Handler: h, front: f, call: f.from.caller, h2: r.ProtoMajor == 2}}
	if f.from.peer != "" {
		e.call = takeCall(r.Header)
	}
	e.entry = newEntry(h.cfg.Cluster, f, &e.call, access.Describe(r))
	defer e.finish()
	whole := false
	defer func() { e.leave(whole) }()
	if v, status := refused(r, f.from.limits()); v != nil {
		h.cfg.Refused(f.from.Service, v)
		e.fail(status, access.Refused, string(v.Reason))
		whole = true
		return
	}
	e.policy = h.cfg.Table.Requests(f.from.Key)
	e.stick()
	e.drill = h.cfg.Drills.Begin(e.entry, f.from.Key, e.caller())
	e.quota.of = h.cfg.Table.Limits(f.from.Key).Matching(&ratelimit.Call{Cluster: f.from.cluster(h.cfg.Cluster), Request: r})
	e.repeats = repeats{Handler: h, key: f.from.Key, peer: f.from.peer, from: source.OfText(e.call.address), policy: e.policy}
	if reason := e.repeats.begin(); reason != "" {
		e.fail(http.StatusServiceUnavailable, access.Limit, reason)
		whole = true
		return
	}
	defer e.repeats.done()
	e.out = outgoing(r)
	if hasBody(r) {
		var proceed func()
		if conn.HasToken(r.Header["Expect"], "100-continue") {
			proceed = e.expected
		}
		e.trailers = slices.Collect(maps.Keys(r.Trailer))
		read := &counted{ReadCloser: r.Body, n: &e.received, waits: e.times.Wait}
		e.body = newBody(read, func() http.Header { return maps.Clone(r.Trailer) }, proceed)
		defer e.body.end()
	}
	ctx, release := e.times.bound(r.Context(), r.Header, e.bound(e.policy.Timeout))
	defer release()
	e.drill.Wait(ctx)
	e.run(ctx)
	whole = true
}

// reached answers 100 to a peer that holds a part of a long body back: there is a connection to an endpoint.
func (e *exchange) reached() {
	if e.front.from.peer != "" && e.body != nil && e.body.proceed == nil && isLong(e.out) {
		e.proceed()
	}
}

// expected answers 100 to a client that waits for it. net/http's server would do it by itself, but not in step with other interim answers.
func (e *exchange) expected() {
	if e.r.ProtoMajor == 1 {
		e.proceed()
	}
}

// leave ends what is left of a request whose handler returns, or panics: then the client must not take what it has for whole.
func (e *exchange) leave(whole bool) {
	if e.current != nil {
		e.end(e.current, false)
	}
	e.repeats.end()
	if !whole && e.r.ProtoMajor == 1 {
		e.front.reset()
		_ = e.front.Close() // net/http would read on first
	}
}

// finish reports the request.
func (e *exchange) finish() {
	e.entry.Up = cmp.Or(e.entry.Up, e.received.Load()) // that of an upgraded connection is there
	if errors.Is(context.Cause(e.front.ctx), registry.ErrDenied) && e.entry.Result != access.OK {
		e.entry.Result, e.entry.Ended, e.entry.Err = access.Denied, "denied", registry.ErrDenied
	}
	e.cfg.Finished(e.entry)
}

// run tries until there is an answer, or none can be had.
func (e *exchange) run(ctx context.Context) {
	for {
		t, o := e.try(ctx)
		e.last = t
		e.repeats.end()
		if !e.times.over() && e.decide(t, o) == again {
			e.drop(t, o)
			if e.repeats.wait(ctx) {
				continue
			}
			t, o = &try{err: context.Cause(ctx)}, clientGone
		}
		switch {
		case e.passes(t, o):
			e.answer(t)
		case e.times.over(), o == timedOut:
			e.entry.Err = cmp.Or(t.cause, t.err)
			e.fail(http.StatusGatewayTimeout, access.Timeout, "timeout")
		case o == clientGone:
			e.entry.Result, e.entry.Ended = access.ClientReset, "client reset"
			panic(http.ErrAbortHandler)
		case o == limited:
			e.refuse()
		case o == overflow:
			turnAway(e, t)
		case o == noCandidate && e.tries == 0:
			e.entry.Err = t.err
			e.fail(http.StatusServiceUnavailable, dial.Result(t.err), "no-endpoint")
		case o == notExecuted && e.tries == 0:
			e.entry.Err = t.err
			e.fail(http.StatusServiceUnavailable, access.NoEndpoint, "not-executed")
		default: // of this try, or of one before it
			e.entry.Err = t.err
			e.fail(http.StatusServiceUnavailable, access.UnknownOutcome, "unknown-outcome")
		}
		return
	}
}

// passes is true for an answer that is the client's: that of a peer which did not execute the request says nothing of the tries before.
func (e *exchange) passes(t *try, o outcome) bool {
	return t.resp != nil && (o != notExecuted || e.tries == 0)
}

func (e *exchange) decide(t *try, o outcome) verdict {
	h := history{
		retries: &e.policy.Retries, method: e.r.Method, tries: e.tries, all: e.all, begun: e.hasBegun(),
		replayable: e.body == nil || e.body.replayable(),
		others:     e.others(o),
		late:       e.isLate(o),
		remote:     e.front.from.peer != "",
		budget:     e.repeats.take,
	}
	if e.repeats.least = 0; o == unavailable {
		wait, ok := pushback(t.resp.Header)
		e.repeats.least, h.refused = wait, !ok
	}
	return decide(o, h)
}

// drop ends a try that is followed by another one.
func (e *exchange) drop(t *try, o outcome) {
	e.cfg.Retried(e.front.from.Service, t.reason(o, &e.policy.Retries))
	e.end(t, false)
}

// try sends the request to one candidate. The answer's body is still to be read, and the try to be ended.
func (e *exchange) try(ctx context.Context) (*try, outcome) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &try{cancel: cancel}
	e.all++
	if o := e.connect(ctx, t); o != answered {
		cancel(nil)
		return t, o
	}
	if !e.quota.take(t.up.target.address) {
		e.pool.handBack(t)
		return &try{cancel: cancel}, limited
	}
	e.current = t
	e.reached()
	interim, stop := e.interims(t)
	req := e.out.WithContext(ctx)
	t.body = withBody(req, e.body, e.trailers)
	if t.body != nil && t.up.at.HTTP && !t.up.wire.isPlain() && isLong(req) {
		t.body.holdOn()
	}
	if !t.up.target.h2 {
		t.up.wire.body.Store(t.body)
	}
	req.Header = e.mark(req.Header, t, e.r.Header.Get(attemptHeader))
	markGRPC(req.Header, e.tries)
	sent, started, done := t.up.wire.written.Load(), time.Now(), t.within(ctx, &e.times.Clock, e.bound(e.policy.Retries.PerTryTimeout))
	hurried := t.hurry(e.cfg.Budget, e.policy.Retries.Method(e.r.Method))
	t.resp, t.err = t.up.client.RoundTrip(req, interim) //nolint:bodyclose // end does
	hurried()
	done()
	stop()
	o := t.opened(ctx, t.judge(&e.policy.Retries, sent), &e.buffers)
	if t.err != nil && e.gone() {
		o = clientGone
	}
	if o != notExecuted {
		e.tries++
	}
	e.learn(t, o)
	t.outcome = o
	e.record(t, o, &e.policy.Retries, time.Since(started))
	if t.resp == nil {
		e.end(t, false)
	}
	return t, o
}

// gone is true when the client has ended its request.
func (e *exchange) gone() bool {
	return e.r.Context().Err() != nil || e.body != nil && e.body.failed() != nil
}

// end gives back what a try has used; whole is true when its answer was read to the end.
func (e *exchange) end(t *try, whole bool) {
	if t.ended || t.up == nil {
		return
	}
	t.ended, e.current = true, nil
	t.opening.end(&e.buffers)
	if t.body != nil {
		_ = t.body.Close() // net/http waits for a read that is under way
		t.up.wire.body.CompareAndSwap(t.body, nil)
	}
	if !whole {
		t.cancel(nil)
	}
	keep := t.up.keep
	if t.resp != nil {
		_ = t.resp.Body.Close()
		keep = conn.KeepFor(t.resp.Header, keep)
	}
	e.settle(t, whole)
	if whole || t.up.target.h2 {
		e.pool.put(t.up, keep)
	} else {
		_ = t.up.client.Close()
	}
	t.cancel(nil)
}

// settle reports what a try means for the endpoint. What a peer's endpoints do is for the peer's proxy to judge, but for refusals.
func (e *exchange) settle(t *try, whole bool) {
	local := t.up.target.address.Peer == ""
	if t.resp != nil {
		t.use.Took(statusOf(t.resp))
	}
	switch {
	case !local:
	case e.r.Context().Err() != nil, t.spared:
		t.blame.Failure = balance.NoFailure
	case t.resp != nil && !whole && e.times.over(): // the client may have been slow, too
	case t.resp != nil && !whole && t.outcome == answered:
		t.blame.Failure = balance.BrokenAnswer // it was cut off
	case t.resp != nil:
		t.use.Answered(statusOf(t.resp))
		t.blame.RetryAfter = max(t.blame.RetryAfter, bounds.RetryAfter(t.resp, time.Now()))
	}
	t.use.Done(t.blame)
}

// interims passes interim answers on, until stop: net/http may still be reading one when it has given up.
func (e *exchange) interims(t *try) (interim conn.Interim, stop func()) {
	over := false
	return func(code int, header textproto.MIMEHeader) error {
		switch {
		case code == http.StatusContinue:
			t.proceed()
		case e.r.ProtoAtLeast(1, 1):
			e.interim(&over, code, header)
		}
		return nil
	}, func() { e.endInterim(&over) }
}

// proceed lets the body be sent: the endpoint wants it, or the peer has an endpoint for it.
func (t *try) proceed() {
	if t.body == nil {
		return
	}
	t.body.allow()
	if t.body.grant != nil {
		t.body.grant()
	}
}

// String is the outcome in the access log.
func (o outcome) String() string {
	return [...]string{"answered", "not_executed", "unknown", "unavailable", "no_endpoint", "client_reset", "timeout", "rate_limited", "overflow"}[o]
}

// notProcessed is true for an error of an HTTP/2 connection that guarantees that the server did nothing with the request.
func notProcessed(err error) bool {
	if stream, ok := errors.AsType[streamError](err); ok {
		return stream.Code == refusedStream
	}
	switch fmt.Sprint(err) { // net/http does not export them
	case "http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable",
		"http2: client conn could not be established":
		return true
	}
	return false
}

// refusedStream is REFUSED_STREAM (RFC 9113, 8.7).
const refusedStream = 7

// streamError has the shape that net/http's HTTP/2 stream errors convert themselves to (errors.As); the name and the fields matter.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (streamError) Error() string { return "HTTP/2 stream error" }
