package conn

import (
	"net/http"
	"testing"
	"time"
)

// idleTimeout is what an endpoint's announcement may shorten.
const idleTimeout = 55 * time.Second

func TestKeepFor(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"":                        idleTimeout,
		"timeout=5":               4 * time.Second,
		"max=10, Timeout=20":      19 * time.Second,
		"timeout=1":               0,
		"timeout=0":               0,
		"timeout=-1":              idleTimeout,
		"timeout=x":               idleTimeout,
		"timeout=300":             idleTimeout,
		"timeout=999999999999999": idleTimeout,
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Keep-Alive", value)
		}
		if got := KeepFor(h, idleTimeout); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
