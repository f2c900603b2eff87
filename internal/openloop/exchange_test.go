package openloop

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestExchange(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/full":
			http.Error(w, strings.Repeat("full ", 1000), http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/cut":
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
		default:
			fmt.Fprintf(w, "%s %s %q", r.Method, r.Header.Get(RequestID), body)
		}
	}))
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, test := range []struct{ method, path, answer, err string }{
		{http.MethodGet, "/", `GET one ""`, ""},
		{http.MethodPost, "/", `POST one "order"`, ""},
		{http.MethodGet, "/full", "", "status 503: full"},
		{http.MethodGet, "/moved", "", "status 302:"},
		{http.MethodGet, "/cut", "", "the answer broke off: unexpected EOF"},
	} {
		answer, err := Exchange(t.Context(), client, test.method, server.URL+test.path, "one", "order")
		switch {
		case answer != test.answer:
			t.Errorf("%s %s: answer %q, want %q", test.method, test.path, answer, test.answer)
		case test.err == "" && err != nil, test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)):
			t.Errorf("%s %s: error %v, want %q", test.method, test.path, err, test.err)
		case err != nil && len(err.Error()) > maxReason+len("status 503: "):
			t.Errorf("%s %s: the error has %d bytes", test.method, test.path, len(err.Error()))
		}
	}
	server.Close()
	if _, err := Exchange(t.Context(), client, http.MethodGet, server.URL, "one", ""); err == nil || strings.Contains(err.Error(), "Get ") {
		t.Errorf("no server: %v, want an error without the target", err)
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"a": true, "A-z_0.9": true, strings.Repeat("x", maxRequestID): true,
		"": false, "a b": false, "a\nb": false, "ä": false, strings.Repeat("x", maxRequestID+1): false,
	} {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) is %v", id, got)
		}
	}
}
