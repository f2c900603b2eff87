package takeover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// asProxy is the Proxy whose health listener is the server.
func asProxy(t *testing.T, s *httptest.Server) *Proxy {
	t.Helper()
	a := netip.MustParseAddrPort(s.Listener.Addr().String())
	return &Proxy{Address: a.Addr(), Health: a.Port()}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	const body = `{"ready":true,"listeners":[{"port":20000,"service":"default/shop"},{"port":20001,"service":"default/web"}],"new":1}`
	answer := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string // the error's words; "" is a good report
		result  string
	}{
		{"good", answer(http.StatusOK, body), "", resultOK},
		{"nothing listens yet", answer(http.StatusOK, `{"ready":false,"listeners":[]}`), "", resultOK},
		{"another version", answer(http.StatusNotFound, "404"), "status 404", resultInvalid},
		{"not modified unasked", answer(http.StatusNotModified, ""), "status 304", resultInvalid},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/healthz", http.StatusFound) }, "status 302", resultInvalid},
		{"no JSON", answer(http.StatusOK, "ok"), "invalid character", resultInvalid},
		{"no port", answer(http.StatusOK, `{"ready":true,"listeners":[{"service":"a/b"}]}`), "without port", resultInvalid},
		{"port too large", answer(http.StatusOK, `{"ready":true,"listeners":[{"port":65536,"service":"a/b"}]}`), "65536", resultInvalid},
		{"too long", answer(http.StatusOK, strings.Repeat(" ", maxReportBytes+1)), "bytes, more than", resultInvalid},
		{
			"too many",
			answer(http.StatusOK, `{"listeners":[`+strings.Repeat(`{"port":1,"service":"a/b"},`, maxListeners)+`{"port":1,"service":"a/b"}]}`),
			"listeners, more than", resultInvalid,
		},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, body)
		}, "unexpected EOF", resultError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(tt.handler)
			defer s.Close()
			h := newHTTPProber(nil, nil)
			defer h.close()
			report, err := h.probe(t.Context(), asProxy(t, s), nil)
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("probe = %v, %v, want %q", report, err, tt.want)
			}
			if got := resultOf(err, time.Millisecond, 0); got != tt.result {
				t.Errorf("result = %s, want %s", got, tt.result)
			}
			if tt.name == "good" && (!report.Ready || report.Listeners[20000] != "default/shop" || len(report.Listeners) != 2) {
				t.Errorf("report = %+v", report)
			}
		})
	}
}

// A proxy that hangs is given up at the deadline; one that is gone, at once.
func TestProbeEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it accepts (the kernel does), and never answers
	if err != nil {
		t.Fatal(err)
	}
	h := newHTTPProber(nil, nil)
	defer h.close()
	a := netip.MustParseAddrPort(l.Addr().String())
	p := &Proxy{Address: a.Addr(), Health: a.Port()}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = h.probe(ctx, p, nil)
	if got := resultOf(err, probeTimeout, lateSlack); !errors.Is(err, context.DeadlineExceeded) || got != resultTimeout {
		t.Errorf("hung proxy: %v, %s", err, got)
	}
	if got := resultOf(err, probeTimeout, lateSlack+1); got != resultPaused {
		t.Errorf("result of a probe during which the agent hardly ran: %s", got)
	}
	if got := resultOf(err, probeTimeout+pauseSlack+1, 0); got != resultPaused {
		t.Errorf("a probe that ended late: %s, want %s", got, resultPaused)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = h.probe(t.Context(), p, nil)
	if got := resultOf(err, time.Millisecond, 0); err == nil || got != resultError {
		t.Errorf("closed proxy: %v, %s", err, got)
	}
}

// What has not changed is neither sent nor read again.
func TestProbeOfSomethingKnown(t *testing.T) {
	t.Parallel()
	tag, body, sent := `"1"`, `{"ready":true,"listeners":[{"port":1,"service":"a/b"}]}`, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tag != "" {
			w.Header().Set("ETag", tag)
			if r.Header.Get("If-None-Match") == tag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		sent++
		fmt.Fprint(w, body)
	}))
	defer s.Close()
	h := newHTTPProber(nil, nil)
	defer h.close()
	probe := func(last *Report) *Report {
		t.Helper()
		report, err := h.probe(t.Context(), asProxy(t, s), last)
		if err != nil {
			t.Fatal(err)
		}
		if report != last && report.rest.IsZero() {
			t.Error("it does not rest after it has read a report")
		}
		report.rest = time.Time{} // reading it took no time
		return report
	}
	first := probe(nil)
	if again := probe(first); again != first || sent != 1 {
		t.Errorf("the same ETag: sent %d times, report %p after %p", sent, again, first)
	}
	tag, body = `"2"`, `{"ready":false,"listeners":[]}`
	second := probe(first)
	if second.Ready || len(second.Listeners) != 0 || sent != 2 {
		t.Errorf("another ETag: sent %d times, report %+v", sent, second)
	}
	tag = "" // an older proxy
	third := probe(second)
	if fourth := probe(third); fourth != third || sent != 4 {
		t.Errorf("no ETag, the same body: sent %d times, report %p after %p", sent, fourth, third)
	}
}

// What took long to read is not read again at once: until then a proxy is only asked whether it is ready.
func TestProbeRests(t *testing.T) {
	t.Parallel()
	code, served := http.StatusOK, uint16(0)
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked = append(asked, r.URL.Path); r.URL.Path == "/readyz" {
			w.WriteHeader(code)
			return
		}
		served++
		fmt.Fprintf(w, `{"ready":%t,"listeners":[{"port":%d,"service":"a/b"}]}`, code == http.StatusOK, served)
	}))
	defer s.Close()
	h := newHTTPProber(nil, nil)
	defer h.close()
	var last *Report
	for _, step := range []struct {
		what  string
		rests bool
		code  int
		asked []string
		port  uint16 // of the report; 0: it fails
	}{
		{"at first", false, http.StatusOK, []string{"/listeners"}, 1},
		{"while it rests", true, http.StatusOK, []string{"/readyz"}, 1},
		{"not ready any more", true, http.StatusServiceUnavailable, []string{"/readyz", "/listeners"}, 2},
		{"still not", true, http.StatusServiceUnavailable, []string{"/listeners"}, 3}, // it may close ports
		{"ready again", true, http.StatusOK, []string{"/listeners"}, 4},
		{"something else listens there", true, http.StatusTeapot, []string{"/readyz"}, 0},
		{"later", false, http.StatusOK, []string{"/listeners"}, 5},
	} {
		code, asked = step.code, nil
		if last != nil {
			last.rest = time.Time{}
			if step.rests {
				last.rest = time.Now().Add(time.Hour)
			}
		}
		report, err := h.probe(t.Context(), asProxy(t, s), last)
		if !slices.Equal(asked, step.asked) || (err != nil) != (step.port == 0) {
			t.Fatalf("%s: asked for %v, want %v; %v", step.what, asked, step.asked, err)
		}
		if err != nil {
			continue
		}
		if last = report; last.Ready != (code == http.StatusOK) || last.Listeners[step.port] == "" {
			t.Errorf("%s: %+v, want port %d", step.what, last, step.port)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	for _, seed := range []string{
		`{"ready":true,"listeners":[{"port":20000,"service":"default/shop"}]}`, `{}`, `{"listeners":null}`, `[]`, `{"listeners":[{}]}`,
		`{"listeners":[{"port":1,"service":"a"},{"port":1,"service":"b"}]}`, `{"ready":"yes"}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseReport(body)
		if err != nil {
			return
		}
		for port, service := range r.Listeners {
			if port == 0 || service == "" {
				t.Errorf("listener %d: %q", port, service)
			}
		}
		if again, err := ParseReport(body); err != nil || !again.equal(r) {
			t.Errorf("read again: %+v, %v", again, err)
		}
	})
}
