package dns

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/dns/server"
	"github.com/eastway/eastway/internal/dns/watch"
	"github.com/eastway/eastway/internal/status"
)

// Real time in tests of real sockets: how long something may take on a busy machine, and the pause between looks at it.
const (
	patience = time.Minute
	glance   = 20 * time.Millisecond
)

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-time.After(glance):
		case <-deadline:
			t.Fatalf("after %s still not: %s: %v", patience, what, err)
		}
	}
}

// world is one server with two entries and a proxy.
type world struct {
	dir, address, admin string
	east, west          atomic.Int32 // status of the entries' answers
	ready               atomic.Int32 // endpoints of shop/cart in west
	logs                *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// entry serves an entry at an address.
func entry(t *testing.T, address string, code *atomic.Int32) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// start runs everything on an address of its own.
func start(t *testing.T, host string) *world {
	t.Helper()
	w := &world{dir: t.TempDir(), logs: new(lockedBuffer)}
	w.east.Store(http.StatusOK)
	w.west.Store(http.StatusOK)
	w.ready.Store(3)
	port := entry(t, host+"1:0", &w.east)
	entry(t, host+"2:"+port, &w.west)
	proxy, err := admin.Listen(t.Context(), admin.Config{Address: host + "3:0", Status: func() admin.Status {
		return admin.Status{
			Cluster: "east", Peers: []status.Peer{{Peer: "west", State: status.Connected}},
			Services: []admin.ServiceStatus{{
				Namespace: "shop", Name: "cart", LocalReady: 1, LocalTotal: 1,
				Peers: []admin.PeerReadiness{{Peer: "west", Ready: int(w.ready.Load()), Total: 3}},
			}},
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, fmt.Sprintf(`apiVersion: eastway.dev/v1alpha1
kind: DNSZone
metadata: {name: lb.example.com}
spec:
  nameServers: [{name: ns1.lb.example.com, addresses: [192.0.2.53]}]
---
apiVersion: eastway.dev/v1alpha1
kind: GlobalName
metadata: {name: shop.lb.example.com}
spec:
  ttl: 7s
  entries:
  - {cluster: east, region: eu, addresses: [%[1]s1]}
  - {cluster: west, region: us, addresses: [%[1]s2]}
  services: [shop/cart]
  probe: {scheme: http, port: %[2]s, interval: 100ms, timeout: 10s}
`, host, port))
	w.address, w.admin = freePort(t, host+"4"), freePort(t, host+"5")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := proxy.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() {
		o := options{
			config: w.dir, listen: w.address, admin: w.admin, proxy: proxy.Addr().String(), logLevel: "info", health: host + "6:0",
			allowLoopback: true,
		}
		if err := run(ctx, o, w.logs); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	return w
}

// freePort of an address that no other test has.
func freePort(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *world) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "dns.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// answers are the addresses of the name, sorted.
func (w *world) answers(t *testing.T, network string) (string, error) {
	t.Helper()
	m, _, err := (&mdns.Client{Net: network, Timeout: patience}).ExchangeContext(t.Context(),
		new(mdns.Msg).SetQuestion("shop.lb.example.com.", mdns.TypeA), w.address)
	if err != nil {
		return "", err
	}
	var out []string
	for _, rr := range m.Answer {
		if rr.Header().Ttl != 7 {
			t.Errorf("%v", rr)
		}
		out = append(out, rr.(*mdns.A).A.String())
	}
	slices.Sort(out)
	return strings.Join(out, " "), nil
}

func (w *world) eventuallyAnswers(t *testing.T, want string) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		eventually(t, "answers "+want, func() error {
			got, err := w.answers(t, network)
			if err == nil && got != want {
				err = fmt.Errorf("%s", got)
			}
			return err
		})
	}
}

// explain runs `eastway dns explain`.
func explain(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := NewCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs(append([]string{"explain"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestServerFollowsEntriesAndServices(t *testing.T) {
	t.Parallel()
	const host = "127.99.54."
	w := start(t, host)
	const both, east, west = "127.99.54.1 127.99.54.2", "127.99.54.1", "127.99.54.2"
	w.eventuallyAnswers(t, both)
	w.west.Store(http.StatusServiceUnavailable)
	w.eventuallyAnswers(t, east)
	text, err := explain(t, "shop.lb.example.com", "--admin", w.admin)
	if err != nil || !regexp.MustCompile(`west +us +127\.99\.54\.2 +OUT +\S+ +no +CAN_SERVE +the probe fails: status 503 of /`).MatchString(text) ||
		!regexp.MustCompile(`east +eu +127\.99\.54\.1 +IN +\S+ +yes +CAN_SERVE +the probe passes`).MatchString(text) {
		t.Errorf("%v\n%s", err, text)
	}
	w.west.Store(http.StatusOK)
	w.eventuallyAnswers(t, both)
	w.ready.Store(0) // the entry lives, its services do not
	w.eventuallyAnswers(t, east)
	w.east.Store(http.StatusBadGateway)
	w.eventuallyAnswers(t, both) // panic: west passes its probe, and east says that it can serve
	text, err = explain(t, "--admin", w.admin)
	if err != nil || !strings.Contains(text, "No IPv4 address is in: all that may live are answered.") ||
		!strings.Contains(text, "0 of 3 endpoints of shop/cart are ready") || !strings.Contains(text, "problems:") {
		t.Errorf("%v\n%s", err, text)
	}
	w.ready.Store(3)
	w.eventuallyAnswers(t, west)
	for _, line := range []string{"address is out", "address is in", "no address of a name is in"} {
		if !strings.Contains(w.logs.String(), line) {
			t.Errorf("no line %q in\n%s", line, w.logs)
		}
	}
}

func TestServerRereadsManifests(t *testing.T) {
	t.Parallel()
	w := start(t, "127.99.55.")
	w.eventuallyAnswers(t, "127.99.55.1 127.99.55.2")
	path := filepath.Join(w.dir, "dns.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, strings.Replace(string(text), "ttl: 7s", "ttl: 7s\n  strategy: sometimes", 1))
	eventually(t, "the error is shown", func() error {
		shown, err := explain(t, "--admin", w.admin, "-o", "json")
		var r watch.Report
		if err == nil {
			err = json.Unmarshal([]byte(shown), &r)
		}
		if err == nil && (len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0], "dns.yaml:12: document 2: spec.strategy:") || len(r.Names) != 1) {
			err = fmt.Errorf("%s", shown)
		}
		return err
	})
	w.eventuallyAnswers(t, "127.99.55.1 127.99.55.2")
	w.write(t, strings.Replace(string(text), "ttl: 7s", "ttl: 7s\n  strategy: failover", 1))
	w.eventuallyAnswers(t, "127.99.55.1")
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the missing directory is shown", func() error {
		shown, err := explain(t, "--admin", w.admin)
		if err == nil && !strings.Contains(shown, "what was read last is served") {
			err = fmt.Errorf("%s", shown)
		}
		return err
	})
	w.eventuallyAnswers(t, "127.99.55.1")
}

func TestExplainFails(t *testing.T) {
	t.Parallel()
	w := start(t, "127.99.56.")
	w.eventuallyAnswers(t, "127.99.56.1 127.99.56.2")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"nope.lb.example.com", "--admin", w.admin}, command.NotFound, "no GlobalName nope.lb.example.com is served"},
		{[]string{"--admin", "127.99.56.7:1"}, command.Unreachable, "is 'eastway dns' running?"},
		{[]string{"--admin", "x"}, command.Usage, "--admin"},
		{[]string{"a", "b"}, command.Usage, `unexpected argument "b"`},
	} {
		_, err := explain(t, tt.args...)
		if err == nil || command.ExitCode(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v (%d), want %q (%d)", tt.args, err, command.ExitCode(err), tt.want, tt.code)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{}, "--config is required"},
		{[]string{"--config", filepath.Join(dir, "nope")}, "create this one"},
		{[]string{"--config", dir, "--rate", "-1"}, "--rate -1"},
		{[]string{"--config", dir, "--listen", "x"}, "--listen"},
		{[]string{"--config", dir, "--listen", "127.99.57.1:53530", "--admin", "0.0.0.0:1"}, "--admin"},
		{[]string{"--config", dir, "--log-level", "loud"}, "--log-level"},
		{[]string{"--config", dir, "--proxy", "x"}, "--proxy"},
		{[]string{"--config", dir, "--admin", "127.99.57.1:0", "--listen", "192.0.2.1:53"}, "--listen"},
		{[]string{"explian"}, "unknown command"},
	} {
		cmd := NewCommand()
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetErr(new(bytes.Buffer))
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		cmd.SetArgs(tt.args)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}

// The table in docs/metrics.md has the metrics of the server, in the order of their names.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## DNS server\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| `(eastway_dns_[a-z_]+)` \\| (counter|gauge) \\| (.*?) \\| (.+) \\|$").FindAllStringSubmatch(section, -1)
	documented := map[string]string{}
	var order []string
	for _, m := range rows {
		documented[m[1]] = m[4]
		order = append(order, m[1])
	}
	if !slices.IsSorted(order) {
		t.Error("the table is not in the order of names")
	}
	reg := &described{Registry: prometheus.NewRegistry()}
	d := &daemon{o: options{listen: "127.99.57.2:0", admin: "127.99.57.2:0"}, log: nopLog(), handler: server.NewHandler()}
	d.board = watch.NewBoard(nil, reg)
	ctx, cancel := context.WithCancel(t.Context())
	if err := d.listen(ctx, reg); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := d.release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.server.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for name, help := range reg.help {
		if strings.HasPrefix(name, "eastway_dns_") && documented[name] != help {
			t.Errorf("%s: its help is %q, docs/metrics.md has %q", name, help, documented[name])
		}
	}
	for name := range documented {
		if reg.help[name] == "" {
			t.Errorf("docs/metrics.md has %s, the server does not", name)
		}
	}
}
