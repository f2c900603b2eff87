package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/status"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	sent := status.ProbeQuery{Namespace: "default", Name: "mock", Port: 80, Request: []byte("GET / HTTP/1.1\n"), Timeout: time.Second}
	want := status.Probe{Port: 80, Result: "ok", Hops: []status.Hop{{Target: "west", Took: 3, AtPeer: 1}}}
	server := start(t, Config{Probe: func(_ context.Context, q status.ProbeQuery) (*status.Probe, error) {
		switch {
		case q.Name == "nope":
			return nil, nil
		case !reflect.DeepEqual(q, sent):
			return nil, errors.New("another query")
		}
		return &want, nil
	}})
	client := newTestClient(t, server.Addr().String())
	if found, err := client.Probe(t.Context(), sent); err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := client.Probe(t.Context(), status.ProbeQuery{Namespace: "default", Name: "nope"}); !errors.Is(err, ErrNoService) {
		t.Errorf("no such service: %v", err)
	}
	if _, err := client.Probe(t.Context(), status.ProbeQuery{Namespace: "default", Name: "x"}); err == nil || err.Error() != "another query" {
		t.Errorf("a bad query: %v", err)
	}
	for method, code := range map[string]int{http.MethodGet: http.StatusMethodNotAllowed, http.MethodPost: http.StatusBadRequest} {
		if got, _, body := request(t, server, method, PathProbe+"?service=default/mock&timeout=soon", ""); got != code {
			t.Errorf("%s: %d, want %d: %s", method, got, code, body)
		}
	}
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	if _, err := newTestClient(t, strings.TrimPrefix(old.URL, "http://")).Probe(t.Context(), sent); !errors.Is(err, ErrOlder) {
		t.Errorf("an older proxy: %v", err)
	}
}
