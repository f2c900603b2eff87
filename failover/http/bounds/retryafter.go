package bounds

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter is how long an endpoint wants no requests (RFC 9110, 10.2.3): seconds or a date, 0 if it does not say. Only 503 is about the
// endpoint: 429 is about one client (RFC 6585), for which no other has to go elsewhere.
func RetryAfter(resp *http.Response, now time.Time) time.Duration {
	text := resp.Header.Get("Retry-After")
	if resp.StatusCode != http.StatusServiceUnavailable || text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
