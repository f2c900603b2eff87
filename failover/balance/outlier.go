package balance

import (
	"cmp"
	"net/http"
	"slices"
)

// thresholds are what outlier detection ejects for; 0 turns a threshold off.
type thresholds struct {
	// consecutive is local-origin failures in a row: failed connects and, of requests, missing answers.
	consecutive uint32
	// serverErrors is answers with an error status in a row, gatewayErrors those with 502, 503 or 504 among them.
	serverErrors, gatewayErrors uint32
	// failurePercentage is the share of answers with an error status in an interval.
	failurePercentage uint32
	// unsplit counts local-origin failures of requests as the answers that a gateway gives for them. TCP is always split: it
	// has no other failures.
	unsplit bool
	// errorCodes are the statuses that are errors; empty: all 5xx.
	errorCodes []uint32
}

// judge is what an answer with that status means.
func (th *thresholds) judge(status int) Failure {
	isError := status >= http.StatusInternalServerError && status <= 599
	if len(th.errorCodes) > 0 {
		isError = slices.Contains(th.errorCodes, uint32(max(status, 0)))
	}
	switch {
	case !isError:
		return NoFailure
	case status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout:
		return GatewayError
	default:
		return ServerError
	}
}

// ofRequest is the failure that a failure of a request counts as.
func (th *thresholds) ofRequest(f Failure) Failure {
	if !th.unsplit {
		return f
	}
	switch f {
	case LocalFailure, PeerFailure, AnswerTimeout, BrokenAnswer:
		return GatewayError // Envoy: a timeout is 504, anything else 503
	default:
		return f
	}
}

// record is what became of the newest connections and requests of one target. The rules are Envoy's (outlier_detection_impl.cc):
//
//   - A connect that succeeds ends the failed connects. It does not end missing answers: a process that accepts
//     and never answers is ejected here, but not by Envoy.
//   - An answer ends failed connects and missing answers.
//   - An answer without an error also ends the errors; an error other than 502, 503 and 504 ends the gateway errors.
//   - A counter that reaches its threshold begins again, whether the target can be ejected or not. Failed connects of TCP do
//     not: what could not be ejected is ejected at its next failure.
//   - All begin again when the target is ejected, and do not count before it returns. One that has only just returned has no credit: it
//     is ejected for the first failed connect while it ramps up, and for the first error or missing answer before its first answer
//     without an error.
type record struct {
	connects   uint32 // failed
	unanswered uint32
	errors     uint32
	gateway    uint32 // part of errors
	// proven: an answer without an error came since the target returned.
	proven bool
}

// connected records a connect that succeeded.
func (r *record) connected() { r.connects = 0 }

// answered records an answer without an error.
func (r *record) answered() { *r = record{proven: true} }

// failed records a failure and returns the kind to eject the target for, NoFailure while no threshold is reached. returned: the
// target ramps up. request: it is not a connection of TCP.
func (r *record) failed(f Failure, th *thresholds, returned, request bool) Failure {
	switch f {
	case LocalFailure, PeerFailure:
		return r.localOrigin(f, &r.connects, limit(th.consecutive, !returned), request)
	case AnswerTimeout, BrokenAnswer:
		return r.localOrigin(f, &r.unanswered, limit(th.consecutive, !returned || r.proven), request)
	case ServerError, GatewayError:
		return r.external(f, th, !returned || r.proven)
	default:
		return NoFailure
	}
}

// limit is a threshold for a target with or without credit.
func limit(threshold uint32, credit bool) uint32 {
	if credit {
		return threshold
	}
	return min(threshold, 1)
}

func (r *record) localOrigin(f Failure, counter *uint32, threshold uint32, request bool) Failure {
	if threshold == 0 {
		return NoFailure
	}
	*counter++
	if r.connects+r.unanswered < threshold {
		return NoFailure
	}
	if request {
		r.connects, r.unanswered = 0, 0
	}
	return f
}

func (r *record) external(f Failure, th *thresholds, credit bool) Failure {
	r.connects, r.unanswered = 0, 0
	r.errors++
	r.gateway++
	if f != GatewayError {
		r.gateway = 0
	}
	detected := NoFailure
	if n := limit(th.serverErrors, credit); n > 0 && r.errors >= n {
		r.errors, detected = 0, ServerError
	}
	if n := limit(th.gatewayErrors, credit); n > 0 && r.gateway >= n {
		r.gateway, detected = 0, GatewayError
	}
	return detected
}

// hasFailed is true while a counter has begun.
func (r *record) hasFailed() bool { return r.connects+r.unanswered+r.errors+r.gateway > 0 }

// window counts the answers of one target since the last sweep.
type window struct{ answers, errors uint32 }

func (w window) with(failed bool) window {
	w.answers++
	if failed {
		w.errors++
	}
	return w
}

// compare puts the window with the larger share of errors first.
func (w window) compare(o window) int {
	return cmp.Compare(uint64(o.errors)*uint64(w.answers), uint64(w.errors)*uint64(o.answers))
}

// failing are the indexes of the windows whose share of errors is at least percent, the worst first. Only windows
// with enough answers count. If too few of them do, none fails: there is nothing to differ from.
func failing(windows []window, percent uint32) []int {
	var enough, out []int
	for i, w := range windows {
		if w.answers >= failurePercentageVolume {
			enough = append(enough, i)
		}
	}
	if percent == 0 || len(enough) < failurePercentageHosts {
		return nil
	}
	for _, i := range enough {
		if w := windows[i]; uint64(w.errors)*100 >= uint64(percent)*uint64(w.answers) {
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return windows[a].compare(windows[b]) })
	return out
}
