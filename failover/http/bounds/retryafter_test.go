package bounds

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		status int
		text   string
		want   time.Duration
	}{
		{503, "", 0},
		{503, "0", 0},
		{503, "7", 7 * time.Second},
		{503, "-7", 0},
		{503, "soon", 0},
		{503, "1.5", 0},
		{503, "99999999999", 0},
		{503, now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{503, now.Add(-time.Minute).Format(http.TimeFormat), 0},
		{429, "7", 0},
		{200, "7", 0},
		{301, "7", 0},
	} {
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.text}}}
		if got := RetryAfter(resp, now); got != c.want {
			t.Errorf("%d %q: %v, want %v", c.status, c.text, got, c.want)
		}
	}
}
