package conn

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// KeepFor is how long a connection may be unused after an answer, at most idle: some endpoints announce when they close it.
func KeepFor(h http.Header, idle time.Duration) time.Duration {
	for _, v := range h.Values("Keep-Alive") {
		for p := range strings.SplitSeq(v, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			if seconds, err := strconv.Atoi(value); strings.EqualFold(name, "timeout") && err == nil && seconds >= 0 && seconds < 1<<20 {
				idle = max(min(idle, time.Duration(seconds)*time.Second-keepAliveMargin), 0)
			}
		}
	}
	return idle
}
