package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/apps/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request asks the server, again until it listens. read gets the answer's body.
func request(ctx context.Context, method, url string, body []byte, read func(io.Reader)) (status int, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		response, err := client.Do(r)
		if err == nil {
			if read != nil {
				read(response.Body)
			}
			return response.StatusCode, response.Body.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, err
		}
	}
}

func TestLoadIsMadeAndRecorded(t *testing.T) {
	t.Parallel()
	const at = "127.82.0.1"
	app := httptest.NewServer(&chain.App{Config: chain.Config{Name: "mockc", Zone: "z"}})
	defer app.Close()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", at+":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	streams := chain.Streams{Hello: func(net.Addr) string { return "hello" }}
	go func() { ended <- streams.Run(ctx, listener) }()
	go func() { ended <- new(Server).Run(ctx, netip.MustParseAddr(at)) }()
	const base = "http://" + at + ":8002"
	want := func(status int, method, path string, body []byte) {
		t.Helper()
		if got, err := request(ctx, method, base+path, body, nil); err != nil || got != status {
			t.Fatalf("%s %s: %d, %v; want %d", method, path, got, err, status)
		}
	}
	want(http.StatusNotFound, http.MethodGet, "/records", nil)
	body, err := json.Marshal(Config{
		Name:    "test",
		Calls:   []Calls{{URL: app.URL, Rate: 100}, {URL: "http://127.0.0.1:1/", Rate: 100}},
		Streams: []Streams{{Address: listener.Addr().String(), Count: 2, Seconds: 60}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want(http.StatusOK, http.MethodPost, "/load", body)
	want(http.StatusConflict, http.MethodPost, "/load", body)
	good, bad, open := 0, 0, 0
	var asking sync.WaitGroup
	decode := func(body io.Reader) {
		for lines := json.NewDecoder(body); ; {
			var r Record
			if err := lines.Decode(&r); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			switch {
			case r.Kind == KindStream && r.Error == "" && r.Answer == "hello":
				open++
			case r.Kind == KindCall && r.Target == app.URL && r.Error == "" && chain.Names(chain.Parse(r.Answer)) == "mockc":
				good++
			case r.Kind == KindCall && r.Target != app.URL && strings.Contains(r.Error, "refused"):
				bad++
			default:
				t.Errorf("%+v", r)
			}
			if good == 10 { // it can be stopped while streams are open
				asking.Go(func() { _, _ = request(ctx, http.MethodDelete, base+"/load", nil, nil) })
			}
		}
	}
	if _, err := request(ctx, http.MethodGet, base+"/records", nil, decode); err != nil {
		t.Error(err)
	}
	asking.Wait()
	if bad == 0 {
		t.Error("no failure was recorded")
	}
	if open == 0 {
		t.Error("no stream was recorded")
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestConfigNamesTheField(t *testing.T) {
	t.Parallel()
	for field, c := range map[string]Config{
		"Config.Name":     {},
		"Calls.URL":       {Name: "a", Calls: []Calls{{URL: "mocka:8000", Rate: 1}}},
		"Calls.Method":    {Name: "a", Calls: []Calls{{URL: "http://mocka:8000", Method: "PUT", Rate: 1}}},
		"Calls.Rate":      {Name: "a", Calls: []Calls{{URL: "http://mocka:8000"}}},
		"Streams.Address": {Name: "a", Streams: []Streams{{Address: "mocka", Seconds: 1}}},
		"Streams.Count":   {Name: "a", Streams: []Streams{{Address: "mocka:1", Count: -1, Seconds: 1}}},
		"Streams.Seconds": {Name: "a", Streams: []Streams{{Address: "mocka:1"}}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want %q in it", c, err, field)
		}
	}
}
