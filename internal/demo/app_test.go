package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/openloop"
)

// startApp runs an application on a free port of its own loopback address.
func startApp(t *testing.T, ip string, o AppOptions) (addr string, signals chan<- os.Signal) {
	t.Helper()
	o.Listen = freePort(t, ip)
	doors := make(chan os.Signal)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- RunApp(ctx, o, doors) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", o.Name, err)
		}
	})
	if err := poll(t.Context(), readyTimeout, func(ctx context.Context) error {
		return dial(ctx, netip.MustParseAddrPort(o.Listen))
	}); err != nil {
		t.Fatal(err)
	}
	return o.Listen, doors
}

func freePort(t *testing.T, ip string) string {
	t.Helper()
	d := &door{addr: netip.MustParseAddrPort(ip + ":0"), srv: new(http.Server)}
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := d.ln.Addr().String()
	if err := d.shut(t.Context()); err != nil {
		t.Fatal(err)
	}
	return addr
}

func TestChain(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "mockb.log")
	c, _ := startApp(t, "127.77.1.13", AppOptions{Name: "mockc", Zone: "h"})
	b, _ := startApp(t, "127.77.1.12", AppOptions{Name: "mockb", Zone: "h", UpstreamURL: "http://" + c, Executions: log})
	routing := filepath.Join(t.TempDir(), "routes")
	if err := (routes{roleMockb: {netip.MustParseAddrPort(b)}}).write(routing); err != nil {
		t.Fatal(err)
	}
	a, _ := startApp(t, "127.77.1.11", AppOptions{Name: "mocka", Zone: "h", UpstreamURL: serviceURL(roleMockb), Routes: routing})
	client := newClient(nil, nil)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		answer, err := openloop.Exchange(t.Context(), client, method, "http://"+a+"/", "id-"+method, "body")
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		want := "-> mocka(version: h, ip: 127.77.1.11)" +
			"-> mockb(version: h, ip: 127.77.1.12)-> mockc(version: h, ip: 127.77.1.13)\n"
		if answer != want {
			t.Errorf("%s: %q", method, answer)
		}
	}
	data, err := os.ReadFile(log)
	if err != nil || string(data) != "id-GET GET\nid-POST POST\n" {
		t.Errorf("executions: %q, %v", data, err)
	}
}

func TestAppPassesOnWhatItGot(t *testing.T) {
	t.Parallel()
	var got string
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		from, _ := netip.ParseAddrPort(r.RemoteAddr)
		got = fmt.Sprintf("%s %s %s from %s close=%v", r.Method, r.Header.Get(openloop.RequestID), body, from.Addr(), r.Close)
		http.Error(w, "out of stock", http.StatusServiceUnavailable)
	}))
	defer up.Close()
	a, _ := startApp(t, "127.77.2.11", AppOptions{Name: "mocka", Zone: "k", UpstreamURL: up.URL})
	_, err := openloop.Exchange(t.Context(), newClient(nil, nil), http.MethodPost, "http://"+a, "id7", "payload")
	if want := "POST id7 payload from 127.77.2.11 close=true"; got != want {
		t.Errorf("got %q", got)
	}
	if err == nil || !strings.Contains(err.Error(), "status 502: mocka(k): call "+up.URL+" at "+up.Listener.Addr().String()+" from 127.77.2.11:") ||
		!strings.Contains(err.Error(), "status 503: out of stock") {
		t.Errorf("got %v", err)
	}
	up.Close()
	_, err = openloop.Exchange(t.Context(), newClient(nil, nil), http.MethodGet, "http://"+a, "id8", "")
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestAppRefuses(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "x.log")
	a, _ := startApp(t, "127.77.3.11", AppOptions{Name: "mocka", Zone: "k", Executions: log})
	for name, tc := range map[string]struct {
		method, id string
		size       int
		want       string
	}{
		"method":   {http.MethodDelete, "x", 0, "status 405"},
		"bad id":   {http.MethodGet, "a/b", 0, "status 400"},
		"long id":  {http.MethodGet, strings.Repeat("x", 65), 0, "status 400"},
		"big body": {http.MethodPost, "big", maxBody + 1, "status 400"},
	} {
		_, err := openloop.Exchange(t.Context(), newClient(nil, nil), tc.method, "http://"+a, tc.id, strings.Repeat("y", tc.size))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	data, err := os.ReadFile(log)
	if err != nil || string(data) != "big POST\n" {
		t.Errorf("executions: %q, %v", data, err)
	}
}

// A client that lost its connection must not send the request again by itself.
func TestClientSendsOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		var got atomic.Int32
		up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			got.Add(1)
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}))
		client := newClient(nil, nil)
		if _, err := openloop.Exchange(t.Context(), client, method, up.URL, "x", "y"); err == nil {
			t.Error("no error")
		}
		up.Close()
		if n := got.Load(); n != 1 {
			t.Errorf("%s was sent %d times", method, n)
		}
	}
}

// What a client believes to be connected when the door is shut is answered, every time.
func TestShutLosesNothing(t *testing.T) {
	t.Parallel()
	a, signals := startApp(t, "127.77.4.11", AppOptions{Name: "mocka", Zone: "k"})
	client := newClient(nil, nil)
	const clients = 8
	stop := make(chan struct{})
	var sending sync.WaitGroup
	var answered, refused atomic.Int32
	for range clients {
		sending.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := call(t.Context(), client, http.MethodPost, "http://"+a, "x", "y")
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, syscall.ECONNREFUSED) && strings.Contains(err.Error(), " from -: "): // it was never connected
					refused.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for range 8 {
		before := answered.Load()
		signals <- syscall.SIGUSR2
		waitUntil(t, func() bool { return answered.Load() > before+clients })
		before = refused.Load()
		signals <- syscall.SIGUSR1
		waitUntil(t, func() bool { return refused.Load() > before })
	}
	close(stop)
	sending.Wait()
}

func waitUntil(t *testing.T, cond func() bool) {
	t.Helper()
	err := poll(t.Context(), time.Minute, func(context.Context) error {
		if !cond() {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal("waited in vain")
	}
}

func TestAppOptions(t *testing.T) {
	t.Parallel()
	good := AppOptions{Name: "mocka", Zone: "h", Listen: "127.0.0.1:8000", UpstreamURL: "http://127.0.0.1:8001"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*AppOptions){
		"--name":         func(o *AppOptions) { o.Name = "" },
		"--listen":       func(o *AppOptions) { o.Listen = "8000" },
		"--upstream-url": func(o *AppOptions) { o.UpstreamURL = "127.0.0.1:8001" },
	} {
		o := good
		change(&o)
		if err := RunApp(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}
