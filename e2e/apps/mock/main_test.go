package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAsk(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			http.NotFound(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"ask", "-X", "POST", "-d", "text", server.URL + "/path"}, &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "POST /path text" {
		t.Errorf("printed %q", &out)
	}
	if err := run(t.Context(), []string{"ask", server.URL + "/missing"}, &out); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an answer that is an error: %v", err)
	}
}
