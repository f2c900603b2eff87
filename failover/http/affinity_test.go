package http

import (
	"net/http"
	"slices"
	"testing"
)

func TestSetCookie(t *testing.T) {
	t.Parallel()
	h := http.Header{"Set-Cookie": {"other=1"}}
	setCookie(h, nil)
	setCookie(h, &http.Cookie{Name: "user", Value: "a"})
	if got := h.Values("Set-Cookie"); !slices.Equal(got, []string{"other=1", "user=a"}) {
		t.Errorf("Set-Cookie: %q", got)
	}
}
