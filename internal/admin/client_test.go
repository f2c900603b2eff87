package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/status"
)

func newTestClient(t *testing.T, address string) *Client {
	t.Helper()
	client, err := NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	client.http.Timeout = time.Minute // these tests are about what is answered, on a machine that may be busy
	return client
}

func TestClientGetsWhatTheServerHas(t *testing.T) {
	t.Parallel()
	is := Status{
		Cluster: "east", Replica: "a", Started: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Peers:    []status.Peer{{Peer: "west", State: "connected"}},
		Services: []ServiceStatus{{Namespace: "default", Name: "mockb", LocalTotal: 2}},
		Errors:   []string{"x"},
	}
	endpoints := []status.Endpoint{{Address: "127.0.0.9:80", Level: 1, RTT: time.Millisecond}}
	server := start(t, Config{
		Status: func() Status { return is },
		Endpoints: func(namespace, name string) ([]status.Endpoint, bool) {
			return endpoints, namespace == "default" && name == "mock&"
		},
	})
	client := newTestClient(t, server.Addr().String())
	got, err := client.Status(t.Context())
	if err != nil || !reflect.DeepEqual(got, is) {
		t.Errorf("Status() = %+v, %v, want %+v", got, err, is)
	}
	found, err := client.Endpoints(t.Context(), "default", "mock&")
	want := ServiceEndpoints{Namespace: "default", Name: "mock&", Endpoints: endpoints}
	if err != nil || !reflect.DeepEqual(found, want) {
		t.Errorf("Endpoints() = %+v, %v, want %+v", found, err, want)
	}
	_, err = client.Endpoints(t.Context(), "default", "nope")
	if !errors.Is(err, ErrNoService) || err.Error() != "no such service: default/nope" {
		t.Errorf("Endpoints(nope): %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		answer  http.HandlerFunc
		is      error
		message string
	}{
		{
			"another program's 404", http.NotFound, nil,
			`answered 404 ("404 page not found\n"): is that an eastway proxy's admin listener?`,
		},
		{
			"another program's 200", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
			nil, "is not from an eastway proxy",
		},
		{
			"redirect", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			},
			nil, "answered 302",
		},
		{
			"broken off", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "{")
			},
			ErrUnreachable, "the answer broke off: unexpected EOF",
		},
		{
			"endless", func(w http.ResponseWriter, _ *http.Request) {
				for chunk := strings.Repeat(" ", 1<<20); ; {
					if _, err := io.WriteString(w, chunk); err != nil {
						return
					}
				}
			},
			nil, "is longer than",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			_, err := newTestClient(t, server.URL).Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.message) || (tt.is != nil && !errors.Is(err, tt.is)) {
				t.Errorf("got %v, want %q", err, tt.message)
			}
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	t.Parallel()
	// An address of which no other test takes a port once this one is free again.
	l, err := net.Listen("tcp", "127.99.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = newTestClient(t, address).Status(t.Context())
	want := "cannot reach the admin listener at http://" + address + ": connection refused"
	if !errors.Is(err, ErrUnreachable) || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestClientCanceled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := newTestClient(t, server.URL).Status(ctx)
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want only %v", err, context.Canceled)
	}
}

func TestClientOverConnectionsOfOthers(t *testing.T) {
	t.Parallel()
	server := start(t, Config{Status: func() Status { return Status{Cluster: "east"} }})
	client := NewClientOver(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Addr().String())
	})
	defer client.Close()
	if got, err := client.Status(t.Context()); err != nil || got.Cluster != "east" {
		t.Errorf("%+v, %v", got, err)
	}
	refused := errors.New("the kubelet says no")
	client = NewClientOver(func(context.Context) (net.Conn, error) { return nil, refused })
	if _, err := client.Status(t.Context()); !errors.Is(err, ErrUnreachable) || !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestNewClientAddress(t *testing.T) {
	t.Parallel()
	for address, base := range map[string]string{
		"":                        "http://127.0.0.1:15000",
		"127.0.0.1:1":             "http://127.0.0.1:1",
		"http://localhost:15000":  "http://localhost:15000",
		"http://localhost:15000/": "http://localhost:15000",
		"[::1]:15000":             "http://[::1]:15000",
		"proxy.example:15000":     "http://proxy.example:15000",
		"https://localhost:15000": "",
		"localhost":               "",
		":15000":                  "",
		"localhost:":              "",
		"localhost:1/path":        "",
		"user@localhost:1":        "",
	} {
		client, err := NewClient(address)
		switch {
		case base == "" && err == nil:
			t.Errorf("NewClient(%q) accepted: %s", address, client.base)
		case base != "" && (err != nil || client.base != base):
			t.Errorf("NewClient(%q) = %v, %v, want base %s", address, client, err, base)
		}
	}
}
