package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/status"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	sent := status.Query{Namespace: "default", Name: "mock&", Port: 80, From: "a/b", Source: "::1", Request: []byte("GET / HTTP/1.1\n")}
	ports := []status.Explanation{{Port: 80, Candidates: []status.Choice{{Endpoint: status.Endpoint{Address: "x"}, Share: 100, Rule: "own zone"}}}}
	server := start(t, Config{Explain: func(_ context.Context, q status.Query) ([]status.Explanation, error) {
		switch {
		case q.Name == "nope":
			return nil, nil
		case !reflect.DeepEqual(q, sent):
			return nil, errors.New("another query")
		}
		return ports, nil
	}})
	client := newTestClient(t, server.Addr().String())
	found, err := client.Explain(t.Context(), sent)
	if want := (ServiceExplanation{Namespace: "default", Name: "mock&", Ports: ports}); err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := client.Explain(t.Context(), status.Query{Namespace: "default", Name: "nope"}); !errors.Is(err, ErrNoService) {
		t.Errorf("no such service: %v", err)
	}
	if _, err := client.Explain(t.Context(), status.Query{Namespace: "default", Name: "x"}); err == nil || err.Error() != "another query" {
		t.Errorf("a bad query: %v", err)
	}
	sent.Request = make([]byte, MaxRequestHead+1)
	if _, err := client.Explain(t.Context(), sent); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a long head: %v", err)
	}
}

// A proxy of the release before has no such path.
func TestExplainByAnOlderProxy(t *testing.T) {
	t.Parallel()
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	client := newTestClient(t, strings.TrimPrefix(old.URL, "http://"))
	if _, err := client.Explain(t.Context(), status.Query{Namespace: "a", Name: "b"}); !errors.Is(err, ErrOlder) {
		t.Error(err)
	}
}
