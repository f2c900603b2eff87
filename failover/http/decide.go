package http

import (
	"net/http"
	"strconv"

	"github.com/eastway/eastway/failover/balance"
)

// outcome is how one try of a request ended.
type outcome int

const (
	// answered: there is an answer that is passed on.
	answered outcome = iota
	// notExecuted: no endpoint can have executed the request: nothing of it was written, or HTTP/2 guarantees it.
	notExecuted
	// unknown: the connection ended after something was written.
	unknown
	// unavailable: an answer that another endpoint may not give: by default 502, 503 and 504.
	unavailable
	// noCandidate: none is left, or none accepted a connection.
	noCandidate
	// clientGone: the client ended its request.
	clientGone
	// timedOut: no answer came in the time that the policy allows, after something was written.
	timedOut
	// limited: the policy's rateLimit allows no more now; nothing was sent.
	limited
	// overflow: the policy's connectionPool allows no connection, or not in time; nothing was sent.
	overflow
)

// history is what a decision depends on beside the last outcome.
type history struct {
	retries *balance.Retries
	method  string
	// tries that an endpoint may have seen, and all of them; the last one included.
	tries, all int
	// replayable: all that was sent of the body is kept.
	replayable bool
	// begun: a part of an answer was passed on, an interim one too.
	begun bool
	// remote: the request is a peer's, whose proxy repeats it.
	remote bool
	// refused: the endpoint wants no other try.
	refused bool
	// others: a candidate is left that was not tried.
	others bool
	// late: the tries that were not executed, of late, have taken maxSafeTime.
	late bool
	// budget is requested at most once per decision; false: too many retries are under way.
	budget func() bool
}

// isSafe is true if a request that was not executed may be sent again.
func (h *history) isSafe() bool { return h.all < maxSafeTries && (h.others || !h.late) }

// verdict is what happens after a try.
type verdict int

const (
	pass  verdict = iota // the answer, or the error, is the client's
	again                // the request is sent once more
)

// decide is the rule of at most once: what was not executed may always be sent again, what may have been executed only if
// executing it twice is the same as once (RFC 9110, 9.2.2), or the policy lists the method; and only within the budget.
func decide(o outcome, h history) verdict {
	switch {
	case h.begun, !h.replayable:
		return pass
	case o == notExecuted && h.isSafe() && (h.all <= freeRetries || h.budget()):
		return again
	case h.remote, h.refused:
	case (o == unknown || o == timedOut) && h.retries.NoAnswer(), o == unavailable && (h.others || h.retries.Anywhere):
		if h.retries.Method(h.method) && h.tries <= h.retries.Attempts && h.budget() {
			return again
		}
	}
	return pass
}

// judge is what an answer means for the try, and its status as a reason to repeat it. Trailers are not known yet.
func judge(r *balance.Retries, resp *http.Response) (o outcome, reason string) {
	if r.Status(resp.StatusCode) {
		return unavailable, strconv.Itoa(resp.StatusCode)
	}
	if code, ok := grpcCode(resp.Header); ok && resp.StatusCode == http.StatusOK && isGRPC(resp.Header) && r.GRPCStatus(code) {
		return unavailable, "grpc-" + strconv.Itoa(code)
	}
	return answered, ""
}
