package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
)

// listenersOf is a proxy's part in PathListeners.
type listenersOf struct {
	revision uint64
	all      []status.Listener
	takes    time.Duration
	looks    int
}

func (l *listenersOf) Listening() []status.Listener {
	l.looks++
	<-time.After(l.takes)
	return l.all
}

func (l *listenersOf) ListenersRevision() uint64 { return l.revision }

// However often it is asked for, the answer is made when there is something else to tell, and not all the time even then.
func TestListing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &listenersOf{revision: 1, takes: 20 * time.Millisecond}
		l := listing{source: source}
		ask := func(ready bool, port uint16, looks int) {
			t.Helper()
			body, tag, err := l.now(ready)
			want := fmt.Sprintf(`{"ready":%t,"listeners":[{"port":%d,"service":"default/shop"}]}`, ready, port)
			if port == 0 {
				want = fmt.Sprintf(`{"ready":%t,"listeners":[]}`, ready)
			}
			if err != nil || string(body) != want || tag == "" || source.looks != looks {
				t.Errorf("%s, %s, %v after %d looks; want %s after %d", body, tag, err, source.looks, want, looks)
			}
		}
		change := func(port uint16) {
			source.revision++
			source.all = []status.Listener{{Address: netip.AddrPortFrom(netip.IPv6Unspecified(), port), Service: "default/shop"}}
		}
		ask(false, 0, 1)
		ask(false, 0, 1)
		change(20000)
		ask(false, 0, 1) // it took 20 ms, so 200 ms have to pass
		ask(true, 20000, 2)
		change(20001)
		bubble.Pass(199 * time.Millisecond)
		ask(true, 20000, 2)
		bubble.Pass(time.Millisecond)
		ask(true, 20001, 3)
		bubble.Pass(time.Hour)
		ask(true, 20001, 3)
		source.takes = time.Second
		change(20002)
		ask(true, 20002, 4)
		change(20003)
		bubble.Pass(maxListingAge - 1)
		ask(true, 20002, 4)
		bubble.Pass(1)
		ask(true, 20003, 5)
	})
}

// A listener for probes and scrapers may be on any address, and tells nothing else.
func TestHealthOnly(t *testing.T) {
	t.Parallel()
	ready := errors.New("not yet")
	server := start(t, Config{
		Address: "0.0.0.0:0", HealthOnly: true, HealthListeners: true, Gatherer: prometheus.NewRegistry(),
		Checks: []Check{{Name: "proxy", Ready: func() error { return ready }, Serving: func() error { return nil }}},
		Status: func() Status { return Status{Cluster: "secret"} },
		Endpoints: func(string, string) ([]status.Endpoint, bool) {
			return []status.Endpoint{}, true
		},
		Listeners: &listenersOf{all: []status.Listener{
			{Address: netip.MustParseAddrPort("[::]:20001"), Service: "default/web"},
			{Address: netip.MustParseAddrPort("[::]:20002"), Service: "default/taken", Error: "busy"},
			{Address: netip.MustParseAddrPort("[::]:20000"), Service: "default/shop"},
		}},
	})
	for path, want := range map[string]int{
		PathHealthz: http.StatusOK, PathReadyz: http.StatusServiceUnavailable, PathServingz: http.StatusOK,
		PathMetrics: http.StatusOK, PathListeners: http.StatusOK,
		PathStatus: http.StatusNotFound, PathEndpoints + "?service=a/b": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound,
		"/debug/pprof/goroutine": http.StatusNotFound,
	} {
		if code, _, body := request(t, server, http.MethodGet, path, "proxy.example.com"); code != want || strings.Contains(body, "secret") {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
	const open = `"listeners":[{"port":20000,"service":"default/shop"},{"port":20001,"service":"default/web"}]`
	if _, _, body := request(t, server, http.MethodGet, PathListeners, ""); strings.TrimSpace(body) != `{"ready":false,`+open+`}` {
		t.Errorf("listeners: %s", body)
	}
	_, header, _ := request(t, server, http.MethodGet, PathListeners, "")
	again := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Addr().String()+PathListeners, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", header.Get("ETag"))
		req.Close = true
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if code := again(); code != http.StatusNotModified {
		t.Errorf("the same again: %d", code)
	}
	ready = nil
	if code := again(); code != http.StatusOK {
		t.Errorf("ready by now: %d", code)
	}
	if _, _, body := request(t, server, http.MethodGet, PathListeners, ""); strings.TrimSpace(body) != `{"ready":true,`+open+`}` {
		t.Errorf("listeners: %s", body)
	}
}
