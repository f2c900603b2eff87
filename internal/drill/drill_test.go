package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/httpserve"
)

var (
	cart = balance.Key{Service: discovery.ServiceName{Namespace: "shop", Name: "cart"}, Port: 80}
	eu   = discovery.Locality{Region: "eu", Zone: "a"}
	us   = discovery.Locality{Region: "us", Zone: "a"}
)

// proxy has an admin listener, and calls that go to eu, or else to us.
type proxy struct {
	t      *testing.T
	drills *drill.Drills
	server *httpserve.Server
	stop   context.CancelFunc
	left   []balance.Candidate
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{t: t, left: []balance.Candidate{
		{Address: balance.Address{Endpoint: netip.MustParseAddrPort("10.1.0.1:80")}, Cluster: "east", Locality: eu},
		{Address: balance.Address{Peer: "west"}, Cluster: "west", Locality: us},
	}}
	p.drills = drill.New(drill.Config{Cluster: "east", Candidates: func(balance.Key, balance.Caller) []balance.Candidate { return p.left }})
	ctx, cancel := context.WithCancel(t.Context())
	server, err := admin.Listen(ctx, admin.Config{Address: "127.0.0.1:0", More: Handlers(p.drills, false)})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	p.server, p.stop = server, func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		if err := server.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) client() *admin.Client {
	p.t.Helper()
	client, err := admin.NewClient(p.server.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(client.Close)
	return client
}

// call is one; it fails if a drill leaves no place.
func (p *proxy) call() {
	e := &access.Entry{Started: time.Now(), Accepted: time.Millisecond, Result: access.OK}
	left := slices.Clone(p.left)
	if keep := p.drills.Begin(e, cart, balance.Caller{Address: "10.1.0.9:1"}).Filter(); keep != nil {
		left = slices.DeleteFunc(left, func(c balance.Candidate) bool { return !keep(&c) })
	}
	if len(left) > 0 {
		e.Cluster, e.Locality = left[0].Cluster, left[0].Locality
	} else {
		e.Result = access.NoEndpoint
	}
	if e.Drill != nil {
		e.Drill.Finished(e)
	}
}

// drilled runs the command against the proxies; each line of its progress calls during.
func drilled(t *testing.T, during func(stop func()), proxies []*proxy, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all []Proxy
	for i, p := range proxies {
		all = append(all, Proxy{Name: "proxy-" + string(rune('a'+i)), Client: p.client()})
	}
	cmd := NewCommand(func(_ *cobra.Command, f func([]Proxy) error) error { return f(all) })
	var out, progress bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(writer(func(b []byte) {
		progress.Write(b)
		during(stop)
	}))
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(ctx)
	return out.String(), progress.String(), err
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

// TestDrill: two proxies, ended by the operator; the report is that of both, and nothing is left.
func TestDrill(t *testing.T) {
	t.Parallel()
	a, b := newProxy(t), newProxy(t)
	lines := 0
	out, progress, err := drilled(t, func(stop func()) {
		if lines++; lines == 3 {
			stop()
			return
		}
		a.call()
		b.call()
	}, []*proxy{a, b}, "region-loss", "--scope", "region=eu", "--percent", "100")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"region-loss, region=eu: ended after", "the operator ended it", "east eu/a", "west us/a"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if !strings.Contains(progress, "affected: 2 calls, 0 failed; not affected: 0, 0 failed") {
		t.Errorf("progress:\n%s", progress)
	}
	for _, p := range []*proxy{a, b} {
		if _, on := p.drills.Running(); on {
			t.Error("a drill is left")
		}
	}
}

// TestBudget: the budget is that of all proxies together. One failed call more ends the drill at all of them; the exit code is 1.
func TestBudget(t *testing.T) {
	t.Parallel()
	a, b := newProxy(t), newProxy(t)
	a.left, b.left = a.left[:1], b.left[:1] // nothing is left
	out, _, err := drilled(t, func(func()) { a.call(); b.call() }, []*proxy{a, b},
		"service-loss", "--scope", "service=shop/cart", "--percent", "100", "--error-budget", "2", "-o", "json")
	if !errors.Is(err, errOverBudget) || command.ExitCode(command.Started(err)) != command.Failure {
		t.Errorf("%v", err)
	}
	var r Result
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Affected.Failed < 3 || r.Proxies != 2 || !strings.Contains(r.Ended, "budget") ||
		r.Affected.Failures[access.NoEndpoint] != r.Affected.Failed || r.Spec.Scope.Cluster != "east" {
		t.Errorf("%v: %s", err, out)
	}
	for _, p := range []*proxy{a, b} {
		if _, on := p.drills.Running(); on {
			t.Error("a drill is left")
		}
	}
}

// TestOneCannot: a drill begins at all proxies or at none.
func TestOneCannot(t *testing.T) {
	t.Parallel()
	a, b := newProxy(t), newProxy(t)
	if _, err := b.drills.Start(drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: "us"}, Percent: 1, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	_, _, err := drilled(t, func(func()) {}, []*proxy{a, b}, "region-loss", "--scope", "region=eu")
	if err == nil || !strings.Contains(err.Error(), "at proxy-b") || !strings.Contains(err.Error(), "a drill is running: region-loss region=us") {
		t.Errorf("%v", err)
	}
	if _, on := a.drills.Running(); on {
		t.Error("it is running at the other proxy")
	}
}

// TestLost: a proxy that is gone is named, and its calls so far are counted; when all are gone the command ends.
func TestLost(t *testing.T) {
	t.Parallel()
	a, b := newProxy(t), newProxy(t)
	lines := 0
	out, _, err := drilled(t, func(func()) {
		a.call()
		switch lines++; lines {
		case 2:
			a.stop()
		case 4:
			b.stop()
		}
	}, []*proxy{a, b}, "region-loss", "--scope", "region=eu", "--percent", "100")
	if !errors.Is(err, errAllLost) || command.ExitCode(err) != command.Unreachable || !strings.Contains(out, "lost: proxy-a") ||
		!strings.Contains(out, drill.EndedByLease) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPending: after the end the command waits for calls under way, and reports what became of them.
func TestPending(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	e := &access.Entry{Started: time.Now(), Result: access.Timeout}
	lines := 0
	out, _, err := drilled(t, func(stop func()) {
		if lines++; lines == 2 {
			p.drills.Begin(e, cart, balance.Caller{Address: "10.1.0.9:1"})
			defer time.AfterFunc(renewal/2, func() { e.Drill.Finished(e) })
			stop()
		}
	}, []*proxy{p}, "region-loss", "--scope", "region=eu", "--percent", "100", "--error-budget", "1", "-o", "json")
	var r Result
	if wrong := json.Unmarshal([]byte(out), &r); wrong != nil || err != nil || r.Pending != 0 ||
		r.Affected.Failed != 1 || r.Ended != drill.EndedByOperator {
		t.Errorf("%v, %v: %s", wrong, err, out)
	}
}

// TestSlow: all proxies start at the same time, and one that takes too long does not cost the others their lease: then none starts.
func TestSlow(t *testing.T) {
	t.Parallel()
	a := newProxy(t)
	held := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(held) })
	client, err := admin.NewClient(slow.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	spec := &drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: "eu"}, Percent: 100, For: time.Minute}
	r, err := run(t.Context(), []Proxy{{Name: "b", Client: client}, {Name: "a", Client: a.client()}}, spec, func(*Result) {})
	if r != nil || err == nil || !strings.Contains(err.Error(), "start the drill at b") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, on := a.drills.Running(); on {
		t.Error("a drill is left")
	}
}

// TestStoppedAtStart: Ctrl-C while proxies start is an end like any other.
func TestStoppedAtStart(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	spec := &drill.Spec{Kind: drill.RegionLoss, Scope: drill.Scope{Region: "eu"}, Percent: 100, For: time.Minute}
	r, err := run(ctx, []Proxy{{Client: p.client()}}, spec, func(*Result) {})
	if err != nil || r.Ended != drill.EndedByOperator {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestLease: a proxy that has ended the drill by itself, and answers again, is lost; the others go on.
func TestLease(t *testing.T) {
	t.Parallel()
	o := &operator{spec: drill.Spec{Budget: 3}, all: []*participant{
		{Proxy: Proxy{Name: "a"}, last: drill.Report{ID: "1", Ended: drill.EndedByLease}, err: errLease},
		{Proxy: Proxy{Name: "b"}, last: drill.Report{ID: "2"}},
	}}
	r := o.result()
	if len(r.Lost) != 1 || !strings.Contains(r.Lost[0], "a it was not reached") || r.Ended != "" || o.all[0].goesOn() || !o.all[1].goesOn() {
		t.Errorf("%+v", r)
	}
}

// TestShare: the shares of all proxies are never less than the budget.
func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]int{{0, 3, 0}, {1, 3, 1}, {3, 3, 1}, {4, 3, 2}, {5, 1, 5}} {
		if got := share(c[0], c[1]); got != c[2] {
			t.Errorf("%d for %d proxies: %d each, want %d", c[0], c[1], got, c[2])
		}
	}
}

// TestRemote: where other machines reach the listener there are no drills, and the answer says why.
func TestRemote(t *testing.T) {
	t.Parallel()
	for pattern, handler := range Handlers(drill.New(drill.Config{}), true) {
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}")))
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "--unsafe-admin-remote") {
			t.Errorf("%s: %d %s", pattern, w.Code, w.Body)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for want, args := range map[string]string{
		"it is required":         "region-loss",
		"is not KEY=VALUE":       "region-loss --scope eu",
		"the keys are":           "region-loss --scope continent=eu",
		"name the region":        "region-loss --scope zone=a",
		"kind \"fire\"":          "fire --scope region=eu",
		"is not a CIDR":          "region-loss --scope region=eu --caller here",
		"is not from 1 to 65535": "service-loss --scope service=shop/cart,port=0",
		"it must be from 0.01":   "region-loss --scope region=eu --percent 0",
		"NAME or NAMESPACE/NAME": "service-loss --scope service=a/b/c",
	} {
		_, _, err := drilled(t, func(func()) {}, nil, strings.Fields(args)...)
		if err == nil || !strings.Contains(err.Error(), want) || command.ExitCode(err) != command.Usage {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	s, err := parseScope("service=cart:8080, cluster=west,region=eu,zone=a")
	want := "service=default/cart,port=8080,cluster=west,region=eu,zone=a"
	if err != nil || s.String() != want {
		t.Errorf("%v, %v; want %s", s, err, want)
	}
}

// TestOtherOrigins: what a page in a browser can send does not start, renew or end a drill; nor does what is not understood.
func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	base := "http://" + p.server.Addr().String() + path
	for _, c := range []struct {
		method, url, kind, body string
		want                    int
	}{
		{http.MethodPost, base, "text/plain", `{"kind":"region-loss","scope":{"region":"eu"},"percent":5,"for":1}`, http.StatusUnsupportedMediaType},
		{http.MethodPost, base + "/x", "text/plain", "{}", http.StatusUnsupportedMediaType},
		{http.MethodPost, base + "/x", admin.JSON, "{}", http.StatusNotFound},
		{http.MethodDelete, base + "/x", admin.JSON, "{}", http.StatusNotFound},
		{http.MethodGet, base, admin.JSON, "", http.StatusMethodNotAllowed},
		{http.MethodPost, base, admin.JSON, `{"kind":"region-loss","fire":true}`, http.StatusBadRequest},
		{http.MethodPost, base, admin.JSON, strings.Repeat(" ", maxSpec+1) + "{}", http.StatusBadRequest},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.kind)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s with %s: %d, want %d", c.method, c.url, c.kind, resp.StatusCode, c.want)
		}
	}
	if _, on := p.drills.Running(); on {
		t.Error("a drill is running")
	}
}
