package http

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
)

// Fields between the proxies of two clusters. They are no part of a request or an answer: the proxy that gets one removes it.
const (
	// callHeader of a request is a call.
	callHeader = "X-Eastway-Call"
	// outcomeHeader of an answer is a report.
	outcomeHeader = "X-Eastway-Outcome"
)

// call is what the caller's proxy sends to the endpoint's proxy with a request:
// ADDRESS;REGION;ZONE;ENDPOINT,ENDPOINT…[;AFFINITY]
type call struct {
	// address is the application's IP:PORT.
	address  string
	locality discovery.Locality
	// tried are the endpoints there that had the request already.
	tried []string
	// affinity is the same for requests that go to the same endpoint, 0 for those that need not.
	affinity uint64
}

func (c *call) String() string {
	parts := []string{
		c.address, url.PathEscape(c.locality.Region), url.PathEscape(c.locality.Zone), strings.Join(c.tried, ","),
	}
	if c.affinity != 0 {
		parts = append(parts, strconv.FormatUint(c.affinity, 16))
	}
	return strings.Join(parts, ";")
}

// takeCall removes the call from a request's fields; what a peer sends beyond its bounds is cut.
func takeCall(h http.Header) call {
	parts := split(h.Get(callHeader))
	h.Del(callHeader)
	c := call{address: access.Clip(parts[0]), locality: discovery.Locality{Region: unescape(parts[1]), Zone: unescape(parts[2])}}
	for endpoint := range strings.SplitSeq(parts[3], ",") {
		if len(c.tried) < maxSafeTries && endpoint != "" {
			c.tried = append(c.tried, access.Clip(endpoint))
		}
	}
	if parts[4] == "" {
		return c
	}
	if n, err := strconv.ParseUint(parts[4], 16, 64); err == nil {
		c.affinity = n
	}
	return c
}

// report is how the proxy of a peer got its answer: OUTCOME;ENDPOINT;REGION;ZONE;MICROSECONDS.
type report struct {
	outcome outcome
	// busy: the peer has no place for the request now, nor for others for as long as hold; full: its endpoints have none.
	busy, full bool
	hold       time.Duration
	// endpoint had the request, and is at locality; empty: none had.
	endpoint string
	locality discovery.Locality
	// took is the time from the request to the answer, at the peer; 0: not known.
	took time.Duration
}

// The outcomes of a report.
const (
	reportAnswered    = "answered"
	reportNotExecuted = "not-executed"
	reportUnknown     = "unknown"
	reportBusy        = "busy"
)

func (r *report) String() string {
	text := reportAnswered
	switch {
	case r.busy:
		text = reportBusy
	case r.outcome == notExecuted:
		text = reportNotExecuted
	case r.outcome == unknown:
		text = reportUnknown
	}
	return strings.Join([]string{
		text, r.endpoint, url.PathEscape(r.locality.Region), url.PathEscape(r.locality.Zone), strconv.FormatInt(r.took.Microseconds(), 10),
	}, ";")
}

// takeReport removes the report from an answer's fields. An endpoint answered unless it says otherwise.
func takeReport(h http.Header) report {
	parts := split(h.Get(outcomeHeader))
	h.Del(outcomeHeader)
	r := report{
		endpoint: access.Clip(parts[1]),
		locality: discovery.Locality{Region: unescape(parts[2]), Zone: unescape(parts[3])},
	}
	if us, err := strconv.ParseUint(parts[4], 10, 32); err == nil {
		r.took = time.Duration(us) * time.Microsecond
	}
	switch parts[0] {
	case reportNotExecuted:
		r.outcome = notExecuted
	case reportBusy:
		r.outcome, r.busy, r.full = notExecuted, true, h.Get(reasonHeader) == reasonCapacity
		if h.Get(reasonHeader) != reasonShare {
			r.hold = busyTime
		}
	case reportUnknown:
		r.outcome = unknown
	}
	return r
}

// reportTo adds, for a peer, how its answer came to be: by the try, from its endpoint or from here for a reason. Without a try, or where
// nothing was executed, no endpoint had the request.
func reportTo(to *origin, h http.Header, t *try, began time.Time, reason string) {
	h.Del(outcomeHeader)
	if to.peer == "" {
		return
	}
	r := report{took: time.Since(began)}
	switch reason {
	case "no-endpoint", "not-executed":
		r.outcome = notExecuted
	case reasonOverflow, reasonShare, reasonCapacity:
		r.outcome, r.busy = notExecuted, true
	case "unknown-outcome", "timeout":
		r.outcome = unknown
	}
	if t != nil && t.up != nil && r.outcome != notExecuted {
		r.endpoint, r.locality = t.up.at.String(), t.up.at.Locality
	}
	h.Set(outcomeHeader, r.String())
}

// split returns the parts of a field.
func split(field string) (parts [5]string) {
	list := strings.SplitN(field, ";", len(parts)+1)
	for i := range min(len(list), len(parts)) {
		parts[i] = list[i]
	}
	return parts
}

func unescape(s string) string {
	if v, err := url.PathUnescape(access.Clip(s)); err == nil {
		return access.Clip(v) // %1B is no longer what it was
	}
	return ""
}
