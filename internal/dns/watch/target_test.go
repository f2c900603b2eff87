package watch

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/dns/config"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/hang":
			<-r.Context().Done()
		case r.Host != "example.com":
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		case r.URL.Path == "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plain, encrypted := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	encrypted.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	encrypted.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(encrypted.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	roots := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: encrypted.Certificate().Raw}))
	port := func(l net.Addr) int { return l.(*net.TCPAddr).Port }
	open, secure := port(plain.Listener.Addr()), port(encrypted.Listener.Addr())
	for _, tt := range []struct {
		name  string
		probe config.Probe
		want  string // of the error; empty: it passes
	}{
		{"passes", config.Probe{Scheme: "http", Port: open, Host: "example.com", Path: "/"}, ""},
		{"a redirect passes", config.Probe{Scheme: "http", Port: open, Host: "example.com", Path: "/moved"}, ""},
		{"503", config.Probe{Scheme: "http", Port: open, Host: "example.com", Path: "/bad"}, "status 503 of /bad"},
		{"another host", config.Probe{Scheme: "http", Port: open, Host: "example.net", Path: "/"}, "status 404"},
		{"no answer", config.Probe{Scheme: "http", Port: open, Host: "example.com", Path: "/hang"}, "no answer from port"},
		{"TLS", config.Probe{Scheme: "https", Port: secure, Host: "example.com", Path: "/", CABundle: roots}, ""},
		{"another name", config.Probe{Scheme: "https", Port: secure, Host: "example.net", Path: "/", CABundle: roots}, "certificate"},
		{"an unknown root", config.Probe{Scheme: "https", Port: secure, Host: "example.com", Path: "/"}, "certificate"},
		{"TLS to a port that is plain", config.Probe{Scheme: "https", Port: open, Host: "example.com", Path: "/"}, "TLS handshake"},
		{"TCP", config.Probe{Scheme: "tcp", Port: port(silent.Addr())}, ""},
		{"TCP refused", config.Probe{Scheme: "tcp", Port: 1}, "connection refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.probe.Timeout = metav1.Duration{Duration: time.Minute} // how fast this machine is does not matter
			if tt.want == "no answer from port" {
				tt.probe.Timeout.Duration = 50 * time.Millisecond
			}
			err := (&target{netip.MustParseAddr("127.0.0.1"), tt.probe}).run(t.Context())
			if (err == nil) != (tt.want == "") || !strings.Contains(reason(err), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// The first failure is confirmed soon; later ones are repeated at the usual pace.
func TestPause(t *testing.T) {
	t.Parallel()
	at := &target{probe: config.Probe{Interval: metav1.Duration{Duration: time.Second}, UnhealthyThreshold: 3}}
	for failures, want := range []time.Duration{time.Second, 250 * time.Millisecond, 250 * time.Millisecond, time.Second, time.Second} {
		if got := at.pause(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
}

// What this host is short of says nothing of an address; what a router says does.
func TestLocalErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err         error
		route, want bool
	}{
		{nil, true, false},
		{syscall.ECONNREFUSED, true, false},
		{syscall.EHOSTUNREACH, false, false},
		{syscall.ENETUNREACH, false, true},
		{syscall.ENETUNREACH, true, false},
		{syscall.EAFNOSUPPORT, false, true},
		{syscall.EADDRNOTAVAIL, true, true},
		{syscall.EMFILE, true, true},
	} {
		if got := local(tt.err, func() bool { return tt.route }); got != tt.want {
			t.Errorf("%v with a route %t: %t", tt.err, tt.route, got)
		}
	}
}
