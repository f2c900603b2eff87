package chain

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/bubble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve an application that calls an upstream.
func serve(t *testing.T, name, zone, upstream string) (*App, *httptest.Server) {
	t.Helper()
	app := &App{Config: Config{Name: name, Zone: zone, UpstreamURLs: strings.Fields(upstream)}}
	if err := app.Validate(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	return app, server
}

func TestEachAnswersForItselfAndItsUpstream(t *testing.T) {
	t.Parallel()
	c, last := serve(t, "mockc", "zone-c", "")
	_, middle := serve(t, "mockb", "zone-b", last.URL)
	_, first := serve(t, "mocka", "zone-a", middle.URL)
	answer, err := new(Client).Do(t.Context(), http.MethodPost, first.URL, "id-1")
	if err != nil {
		t.Fatal(err)
	}
	const want = "-> mocka(version: zone-a, ip: 127.0.0.1)-> mockb(version: zone-b, ip: 127.0.0.1)-> mockc(version: zone-c, ip: 127.0.0.1)\n"
	if answer != want {
		t.Errorf("answered %q, want %q", answer, want)
	}
	hops := Parse(answer)
	if Names(hops) != "mocka mockb mockc" || hops[1] != (Hop{Name: "mockb", Zone: "zone-b", IP: "127.0.0.1"}) {
		t.Errorf("read as %v", hops)
	}
	c.Executions.Close()
	executed := httptest.NewRecorder()
	c.Executions.ServeHTTP(executed, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	if lines := executed.Body.String(); strings.Count(lines, "\n") != 1 || !strings.Contains(lines, `"id":"id-1"`) {
		t.Errorf("mockc executed %q, want id-1", lines)
	}
}

func TestSomeUpstreamsAndText(t *testing.T) {
	t.Parallel()
	_, ratings := serve(t, "ratings", "v1", "")
	reviews, middle := serve(t, "reviews", "v2", ratings.URL)
	reviews.Text = "full stars\nfull stars"
	_, details := serve(t, "details", "v1", "")
	_, first := serve(t, "productpage", "v1", details.URL+" "+middle.URL)
	answer, err := new(Client).Do(t.Context(), http.MethodGet, first.URL, "id-1")
	if err != nil {
		t.Fatal(err)
	}
	const want = "-> productpage(version: v1, ip: 127.0.0.1)-> details(version: v1, ip: 127.0.0.1)-> reviews(version: v2, ip: 127.0.0.1)\n" +
		"full stars\nfull stars\n-> ratings(version: v1, ip: 127.0.0.1)\n"
	if answer != want || Names(Parse(answer)) != "productpage details reviews ratings" {
		t.Errorf("answered %q, want %q", answer, want)
	}
}

func TestFailuresOfTheUpstreamAreTold(t *testing.T) {
	t.Parallel()
	_, broken := serve(t, "mockb", "b", "http://127.0.0.1:1/")
	_, first := serve(t, "mocka", "a", broken.URL)
	_, err := new(Client).Do(t.Context(), http.MethodGet, first.URL, "id-1")
	for _, want := range []string{"status 502: mocka(a)", "status 502: mockb(b)", "connection refused"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("said %v, want %q in it", err, want)
		}
	}
	if _, err = new(Client).Do(t.Context(), http.MethodGet, first.URL, "no id"); err == nil || !strings.Contains(err.Error(), "status 400") {
		t.Errorf("an ID of two words: %v", err)
	}
}

func TestConnectionsAreKeptUntilTheEnd(t *testing.T) {
	t.Parallel()
	app, server := serve(t, "mockc", "c", "")
	for i, leaving := range []bool{false, true} {
		app.leaving.Store(leaving)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if response.Close != leaving {
			t.Errorf("call %d: connection closed: %t, leaving: %t", i, response.Close, leaving)
		}
	}
	app.Executions.Close()
	callers := make(map[string]bool)
	err := app.Executions.Await(t.Context(), func(e *Execution) bool { callers[e.Caller] = true; return true },
		func(all []Execution) bool { return len(all) == 2 })
	if err != nil || len(callers) != 1 {
		t.Errorf("two calls on one connection came from %v (%v)", callers, err)
	}
}

func TestConfigNamesTheVariable(t *testing.T) {
	t.Parallel()
	for variable, environment := range map[string]map[string]string{
		"app":          {"version": "z"},
		"version":      {"app": "a"},
		"upstream_url": {"app": "a", "version": "z", "upstream_url": "mockb:8000"},
	} {
		err := FromEnvironment(func(name string) string { return environment[name] }).Validate()
		if err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%v: %v, want %q in it", environment, err, variable)
		}
	}
}

// streams at an address, until the test or cut ends them.
func streams(t *testing.T) (address string, cut context.CancelFunc) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(t.Context())
	ended := make(chan error)
	s := Streams{Hello: func(local net.Addr) string { return "hello at " + local.String() }}
	go func() { ended <- s.Run(ctx, listener) }()
	t.Cleanup(func() {
		cut()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), cut
}

func TestStreamsEndCleanly(t *testing.T) {
	t.Parallel()
	address, _ := streams(t)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	greeting, err := Stream(ctx, new(Dialer), address, time.Millisecond)
	if err != nil || greeting != "hello at "+address {
		t.Errorf("%q, %v", greeting, err)
	}
}

func TestCutStreamsAreNoticed(t *testing.T) {
	t.Parallel()
	address, cut := streams(t)
	cut()
	_, err := Stream(t.Context(), new(Dialer), address, time.Millisecond)
	if err == nil {
		t.Error("a stream that was cut off looked like one that ended")
	}
}

func TestFalseStreamsAreNoticed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another number": "hello\n0\n2\n",
		"no end":         "hello\n0\n1\n",
		"more":           "hello\n0\nend\nmore\n",
		"nothing":        "",
		"too early":      "hello\nend\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write([]byte(text))
				_, _ = conn.Read(make([]byte, 1))
			}()
			if _, err = Stream(t.Context(), new(Dialer), listener.Addr().String(), time.Hour); err == nil {
				t.Errorf("%q was taken for a stream", text)
			}
		})
	}
}

func TestAddressesOutliveTheirServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var answer []net.IP
		d := &Dialer{resolve: func(context.Context, string, string) ([]net.IP, error) {
			asked++
			if answer == nil {
				return nil, errors.New("no server")
			}
			return answer, nil
		}}
		if _, err := d.lookup(t.Context(), "mockb"); err == nil {
			t.Error("a name has an unknown address")
		}
		for step, test := range []struct {
			later  bool
			answer string
			want   string
			asked  int
		}{
			{false, "10.0.0.1", "10.0.0.1", 2},
			{false, "10.0.0.2", "10.0.0.1", 2},
			{true, "10.0.0.2", "10.0.0.1", 3}, // what is known is used while it is asked for
			{false, "10.0.0.3", "10.0.0.2", 3},
			{true, "", "10.0.0.2", 4},
			{false, "", "10.0.0.2", 4}, // and without an answer, not looked up again at once
		} {
			answer = nil
			if test.answer != "" {
				answer = []net.IP{net.ParseIP(test.answer)}
			}
			if test.later {
				bubble.Pass(nameTime)
			}
			ip, err := d.lookup(t.Context(), "mockb")
			synctest.Wait()
			if err != nil || ip.String() != test.want || asked != test.asked {
				t.Errorf("step %d: %v, %v after %d questions; want %v after %d", step, ip, err, asked, test.want, test.asked)
			}
		}
	})
}

func TestCallsDoNotWaitForDNS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := make(chan struct{})
		var asked atomic.Int32
		d := &Dialer{
			resolve: func(ctx context.Context, _, _ string) ([]net.IP, error) {
				asked.Add(1)
				select {
				case <-silent:
					return nil, errors.New("no server")
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
			known: map[string]known{"mockb": {ip: net.ParseIP("10.0.0.1")}},
		}
		began := time.Now()
		for range 10 {
			if ip, err := d.lookup(t.Context(), "mockb"); err != nil || ip.String() != "10.0.0.1" || time.Since(began) != 0 {
				t.Errorf("%v, %v after %v", ip, err, time.Since(began))
			}
		}
		if synctest.Wait(); asked.Load() != 1 {
			t.Errorf("asked %d times at once", asked.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.lookup(ctx, "mockc"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("the first question for a name: %v after %v", err, time.Since(began))
		}
		close(silent)
	})
}

func TestHosts(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialer := Dialer{Hosts: filepath.Join(t.TempDir(), "hosts")}
	if _, err := dialer.DialContext(t.Context(), "tcp", "mockb:8000"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	lines := "mocka:8000 127.0.0.1:1\nmockb:8000 " + listener.Addr().String() + "\n"
	if err := os.WriteFile(dialer.Hosts, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"mockb:8000", listener.Addr().String()} {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}
