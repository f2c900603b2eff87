package serve

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// HTTP/1.1 is not served unverified after HTTP/2 was agreed on.
func TestOtherThanAgreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded") })
	cert, roots := pair(t, time.Now().Add(time.Hour), "a.example")
	w.apply(w.toBackend(route.HTTP1), &route.Listener{TLS: true, Hostname: "a.example", Certificates: []*route.Certificate{cert}})
	d := tls.Dialer{Config: &tls.Config{ServerName: "a.example", RootCAs: roots, NextProtos: []string{"h2"}}}
	c, err := d.DialContext(t.Context(), "tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\nHost: a.example\nContent_Length: 7\n\nGET / HTTP/1.1\nHost: a.example\n\n")
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || strings.Count(string(got), "HTTP/1.1") != 1 || w.refusedCount(malformed) != 1 {
		t.Errorf("%q, counted %d", got, w.refusedCount(malformed))
	}
}

// Headers of HTTP/2 are bounded and verified as those of HTTP/1.1 are.
func TestFieldsOfHTTP2(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if isOneOf(name, []string{"X-Forwarded-Client-Cert"}) {
				rw.WriteHeader(http.StatusTeapot)
			}
		}
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	h2 := client(t, h2c, nil)
	for name, status := range map[string]int{
		"Transfer_Encoding": 400, "content_length": 400, "X-Forwarded-Client-Cert": 200, "X_Forwarded_Client_Cert": 200, "X-A": 200,
	} {
		r := request(t, http.MethodPost, "http://"+w.address()+"/", strings.NewReader("abc"))
		r.Header.Set(name, "1")
		if a, _ := do(t, h2, r); a.StatusCode != status {
			t.Errorf("%s: %d, want %d", name, a.StatusCode, status)
		}
	}
	r := request(t, http.MethodGet, "http://"+w.address()+"/", nil)
	for range maxFields + 1 {
		r.Header.Add("X-A", "1")
	}
	if a, _ := do(t, h2, r); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d fields: %d", maxFields+1, a.StatusCode)
	}
	before := w.refusedCount(malformed)
	for size, status := range map[int]int{maxHeaderBytes - 1000: 200, maxHeaderBytes + 8<<10: 431} {
		r := request(t, http.MethodGet, "http://"+w.address()+"/", nil)
		r.Header.Set("X-A", strings.Repeat("a", size))
		if a, _ := do(t, h2, r); a.StatusCode != status {
			t.Errorf("%d bytes: %d, want %d", size, a.StatusCode, status)
		}
	}
	if w.refusedCount(malformed) != before+1 {
		t.Error("the long header is not counted")
	}
}

// Trailers are passed on, announced or not, unless they would say who called or where the message ends.
func TestRequestTrailers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(rw, "%v", r.Trailer)
	})
	w.apply(w.toBackend(route.HTTP1), &route.Listener{})
	for _, announced := range []string{"", "Trailer: X-Sum, X-Forwarded-For\r\n"} {
		got := raw(t, w.address(), "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"+announced+
			"\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 10.0.0.1\r\nX_Real_Ip: 10.0.0.1\r\n\r\n")
		if !strings.Contains(got, "map[X-Sum:[1]]") {
			t.Errorf("%q: %s", announced, got)
		}
	}
	h2 := client(t, h2c, nil)
	r := request(t, http.MethodPost, "http://"+w.address()+"/", io.MultiReader(strings.NewReader("abc")))
	r.Trailer = http.Header{"X-Sum": {"1"}, "X_forwarded_for": {"10.0.0.1"}}
	if _, body := do(t, h2, r); body != "map[X-Sum:[1]]" {
		t.Errorf("of HTTP/2: %s", body)
	}
}

// Calls of gRPC alone may pause.
func TestIsGRPC(t *testing.T) {
	t.Parallel()
	r := &http.Request{ProtoMajor: 2, Header: http.Header{"Content-Type": {"application/grpc+proto"}}}
	if !isGRPC(r, &route.Backend{Protocol: route.H2C}) || isGRPC(r, &route.Backend{Protocol: route.HTTP1}) {
		t.Error("the backend's protocol does not count")
	}
}
