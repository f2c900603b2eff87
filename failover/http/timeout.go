package http

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/http/bounds"
)

// Why a request or a try of it ended without an answer, as causes of its context.
var (
	errTimeout       = errors.New("the policy's timeout is over")
	errTryTimeout    = errors.New("the policy's time for one try is over")
	errCallerTimeout = errors.New("the caller's grpc-timeout is over")
)

// bound is the time that a policy allows here. For a peer's request it is a tenth less, so that its proxy hears of it before its own time,
// which is likely to be the same, is over: it tries elsewhere, and here the endpoint is judged.
func (r *route) bound(d time.Duration) time.Duration {
	if r.front.from.peer != "" {
		return d - d/10
	}
	return d
}

// times bounds one request and its tries.
type times struct {
	bounds.Clock
	cause func() error // why the time of the request is over, nil while it is not
}

// bound ends ctx, that of a request, at the policy's timeout, and at the deadline of a caller of gRPC.
func (t *times) bound(ctx context.Context, h http.Header, timeout time.Duration) (bounded context.Context, release func()) {
	d, ok := grpcTimeout(h)
	if !ok && timeout <= 0 {
		return ctx, func() {}
	}
	ctx, expire := context.WithCancelCause(ctx)
	stop := t.Limit(timeout, func() { expire(errTimeout) })
	t.cause = func() error { return context.Cause(ctx) }
	if !ok {
		return ctx, func() { stop(); expire(nil) }
	}
	deadline := time.AfterFunc(d, func() { expire(errCallerTimeout) })
	return ctx, func() { stop(); deadline.Stop(); expire(nil) }
}

// over is true once the time of the whole request is over, and its client is still there.
func (t *times) over() bool {
	if t.cause == nil {
		return false
	}
	cause := t.cause()
	return errors.Is(cause, errTimeout) || errors.Is(cause, errCallerTimeout)
}

// within bounds a try until its answer's head is there; ctx is the try's. done makes a try end that was too slow by a moment.
func (t *try) within(ctx context.Context, c *bounds.Clock, d time.Duration) (done func()) {
	stop := c.Limit(d, func() { t.cancel(errTryTimeout) })
	return func() {
		stop()
		if t.err == nil && ctx.Err() != nil {
			_ = t.resp.Body.Close()
			t.resp, t.err = nil, ctx.Err()
		}
		if t.err != nil {
			t.cause = context.Cause(ctx)
		}
	}
}

// tooSlow is true when the try ended because its endpoint did not answer in the time that the policy allows. The deadline of a caller
// is no measure for an endpoint.
func (t *try) tooSlow() bool {
	return errors.Is(t.cause, errTimeout) || errors.Is(t.cause, errTryTimeout)
}

// missing is the failure of an endpoint that has not answered.
func (t *try) missing(o outcome) balance.Failure {
	switch {
	case o == timedOut:
		return balance.AnswerTimeout
	case o == unknown && t.cause == nil:
		return balance.BrokenAnswer
	default:
		return balance.NoFailure
	}
}

// grpcTimeout is how long a caller of gRPC waits: the specification has at most eight digits and a unit.
func grpcTimeout(h http.Header) (d time.Duration, ok bool) {
	text := h.Get("Grpc-Timeout")
	if !isGRPC(h) || len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	unit := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if err != nil || unit == 0 {
		return 0, false
	}
	if n > uint64(maxGRPCTimeout/unit) {
		return maxGRPCTimeout, true
	}
	return time.Duration(n) * unit, true
}
