package http

import (
	"net/http"
	"strconv"
	"time"
)

// pushback is what an endpoint of gRPC wants of the next try (gRPC proposal A6): to come after wait, or, unless ok, not to come at all. A
// longer wait than maxPushback is of no use to the caller.
func pushback(h http.Header) (wait time.Duration, ok bool) {
	values := h["Grpc-Retry-Pushback-Ms"]
	if len(values) == 0 || !isGRPC(h) {
		return 0, true
	}
	ms, err := strconv.ParseUint(values[0], 10, 31)
	wait = time.Duration(ms) * time.Millisecond
	return wait, err == nil && wait <= maxPushback
}

// markGRPC adds for an endpoint of gRPC how many before it may have executed the request; the caller may have counted itself.
func markGRPC(h http.Header, tries int) {
	if tries == 0 || !isGRPC(h) {
		return
	}
	before, err := strconv.ParseUint(h.Get(previousAttempts), 10, 16)
	if err != nil {
		before = 0
	}
	h.Set(previousAttempts, strconv.FormatUint(before+uint64(tries), 10))
}

// previousAttempts is gRPC's field for the number of earlier tries.
const previousAttempts = "Grpc-Previous-Rpc-Attempts"
