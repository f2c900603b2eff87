package http

import "net/http"

// outcome is how one try of a request ended.
type outcome int

const (
	// answered: there is an answer that is passed on.
	answered outcome = iota
	// notExecuted: no endpoint can have executed the request: nothing of it was written, or HTTP/2 guarantees it.
	notExecuted
	// unknown: the connection ended, or no answer came in time, after something was written.
	unknown
	// unavailable: an answer that shows that this endpoint does not serve now: 502, 503 or 504.
	unavailable
	// noCandidate: none is left, or none accepted a connection.
	noCandidate
	// clientGone: the client ended its request.
	clientGone
)

// history is what a decision depends on beside the last outcome.
type history struct {
	method string
	// tries that an endpoint may have seen, and all of them; the last one included.
	tries, all int
	// replayable: all that was sent of the body is kept.
	replayable bool
	// begun: a part of an answer was passed on, an interim one too.
	begun bool
	// others: a candidate is left that was not tried.
	others bool
	// budget is requested at most once per decision; false: too many retries are under way.
	budget func() bool
}

// verdict is what happens after a try.
type verdict int

const (
	pass  verdict = iota // the answer, or the error, is the client's
	again                // the request is sent once more
)

// decide is the rule of at most once: what was not executed may always be sent again, what may have been executed only if
// executing it twice is the same as once (RFC 9110, 9.2.2), and only within the budget.
func decide(o outcome, h history) verdict {
	switch {
	case h.begun, !h.replayable:
		return pass
	case o == notExecuted && h.all < maxSafeTries && (h.all <= freeRetries || h.budget()):
		return again
	case o == unknown && idempotent(h.method), o == unavailable && idempotent(h.method) && h.others:
		if h.tries < maxTries && h.budget() {
			return again
		}
	}
	return pass
}

// idempotent methods may be repeated after an unknown outcome. TRACE and methods that are not known are not among them.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	default:
		return false
	}
}

// judge is what a status means for the try.
func judge(status int) outcome {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return unavailable
	default:
		return answered
	}
}
