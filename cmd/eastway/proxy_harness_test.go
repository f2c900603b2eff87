package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/status"
)

const (
	// patience is how long anything may take on a busy machine under the race detector.
	patience = 60 * time.Second
	// glance is the time between two looks at something that does not signal its changes.
	glance = 20 * time.Millisecond

	tunnelPort  = "15443"
	adminPort   = "15000"
	servicePort = "8000"
)

var lastAddress atomic.Uint32

// newAddress is a loopback address that nothing else uses: neither another test nor another process's tests.
func newAddress() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 64+pid>>8&63, pid&255, 1+lastAddress.Add(1)%254)
}

// site is a cluster with one proxy, its files made by the commands that a user would type.
type site struct {
	name       string
	ip         string // of its proxy
	dir        string
	config, ca string
}

func newSite(t *testing.T, name string) *site {
	t.Helper()
	return newSiteIn(t, t.TempDir(), name)
}

func newSiteIn(t *testing.T, dir, name string) *site {
	t.Helper()
	s := &site{name: name, ip: newAddress(), dir: dir, config: filepath.Join(dir, "config"), ca: filepath.Join(dir, "ca")}
	if err := os.Mkdir(s.config, 0o750); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "certs", "init", "--dir", s.ca, "--cluster", name)
	return s
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	got := runCommand(t, args...)
	if got.code != command.OK {
		t.Fatalf("eastway %s: exit code %d: %s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got.stdout
}

func (s *site) tunnel() string { return net.JoinHostPort(s.ip, tunnelPort) }
func (s *site) admin() string  { return net.JoinHostPort(s.ip, adminPort) }

// write puts a manifest there, whole or not at all, as an editor or a deployment does.
func (s *site) write(t *testing.T, file, manifest string) {
	t.Helper()
	temp := filepath.Join(s.dir, "new")
	if err := os.WriteFile(temp, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, filepath.Join(s.config, file)); err != nil {
		t.Fatal(err)
	}
}

func (s *site) remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.config, file)); err != nil {
		t.Fatal(err)
	}
}

// trust imports other's Peer manifest; addresses are those where others reach it.
func (s *site) trust(t *testing.T, other *site, addresses ...string) {
	t.Helper()
	args := []string{"peer", "export", "--cluster", other.name, "--ca", other.ca}
	for _, a := range addresses {
		args = append(args, "--address", a)
	}
	file := filepath.Join(s.dir, "export-"+other.name+".yaml")
	if err := os.WriteFile(file, []byte(mustRun(t, args...)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "peer", "import", file, "--config", s.config, "--cluster", s.name)
}

// retrust replaces the Peer manifest of other's name at once: without it for a moment, the peer would be a new one.
func (s *site) retrust(t *testing.T, other *site) {
	t.Helper()
	elsewhere := *s
	elsewhere.config = t.TempDir()
	elsewhere.trust(t, other)
	file := "peer-" + other.name + ".yaml"
	if err := os.Rename(filepath.Join(elsewhere.config, file), filepath.Join(s.config, file)); err != nil {
		t.Fatal(err)
	}
}

// endpoint of a service in a manifest.
type endpoint struct{ ip, zone string }

// serviceManifest is a Service on vip with these endpoints, exported.
func serviceManifest(name, vip string, endpoints ...endpoint) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: v1
kind: Service
metadata:
  name: %[1]s
spec:
  clusterIP: %[2]s
  ports:
    - port: %[3]s
---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata:
  name: %[1]s
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: %[1]s-1
  labels:
    kubernetes.io/service-name: %[1]s
addressType: IPv4
ports:
  - port: %[3]s
endpoints:
`, name, vip, servicePort)
	if len(endpoints) == 0 {
		b.WriteString("  []\n")
	}
	for _, e := range endpoints {
		fmt.Fprintf(&b, "  - addresses: [%s]\n    zone: %s\n", e.ip, e.zone)
	}
	return b.String()
}

// flags are the arguments of the site's proxy; more come last and so win.
func (s *site) flags(more ...string) []string {
	return append([]string{
		"proxy", "--cluster", s.name, "--region", "region-" + s.name, "--zone", s.name + "-1",
		"--config", s.config, "--ca", s.ca, "--listen", s.tunnel(), "--admin", s.admin(), "--drain-timeout", "30s",
	}, more...)
}

// proxyRun is a proxy in this process.
type proxyRun struct {
	site           *site
	stdout, stderr *record
	end            context.CancelFunc // what SIGTERM does
	ended          chan struct{}
	code           int // after ended
}

// start runs the site's proxy until the test ends, or end is called, and waits until it is ready.
func (s *site) start(t *testing.T, more ...string) *proxyRun {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	p := &proxyRun{site: s, stdout: &record{}, stderr: &record{}, end: end, ended: make(chan struct{})}
	args := s.flags(more...)
	go func() {
		defer close(p.ended)
		p.code = run(ctx, args, p.stdout, p.stderr)
	}()
	t.Cleanup(func() {
		end()
		<-p.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.name, p.stderr)
			for line := range strings.Lines(p.stdout.String()) {
				if !strings.Contains(line, `"result":"ok"`) {
					t.Logf("access log of %s: %s", s.name, line)
				}
			}
		}
	})
	eventually(t, s.name+" is ready", func() error { return p.readyz(t) })
	return p
}

// stop ends the proxy as SIGTERM does and returns its exit code.
func (p *proxyRun) stop(t *testing.T) int {
	t.Helper()
	p.end()
	p.wait(t)
	return p.code
}

func (p *proxyRun) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("proxy of %s did not end", p.site.name)
	}
}

// get asks the admin listener.
func (p *proxyRun) get(t *testing.T, path string) (code int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.site.admin()+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func (p *proxyRun) readyz(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		t.Fatalf("proxy of %s ended with code %d:\n%s", p.site.name, p.code, p.stderr)
	default:
	}
	code, body, err := p.get(t, admin.PathReadyz)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d: %s", code, body)
	}
	return err
}

// status is what `eastway status -o json` prints.
func (p *proxyRun) status(t *testing.T) admin.Status {
	t.Helper()
	var st admin.Status
	if err := json.Unmarshal([]byte(mustRun(t, "status", "-o", "json", "--admin", p.site.admin())), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// metric is the sum of all samples whose line begins with that name, and has all these labels.
func (p *proxyRun) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	code, body, err := p.get(t, admin.PathMetrics)
	if err != nil || code != http.StatusOK {
		t.Fatalf("metrics: %d, %v", code, err)
	}
	var sum float64
	for line := range strings.Lines(body) {
		at := strings.LastIndexByte(line, ' ')
		series := line[:max(at, 0)]
		if series != name && !strings.HasPrefix(series, name+"{") ||
			slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[at:], &v); err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// connected waits until the tunnel to peer is up and its exports have arrived.
func (p *proxyRun) connected(t *testing.T, peer string) {
	t.Helper()
	eventually(t, p.site.name+" is connected to "+peer, func() error {
		for _, ps := range p.status(t).Peers {
			if ps.Peer == peer && ps.State == "connected" {
				return nil
			}
		}
		return errors.New(mustRun(t, "status", "--admin", p.site.admin()))
	})
}

// serves waits until the proxy can send calls for a service to that peer.
func (p *proxyRun) serves(t *testing.T, service, peer string) {
	t.Helper()
	eventually(t, p.site.name+" sends calls for "+service+" to "+peer, func() error {
		endpoints := p.endpoints(t, service)
		for i := range endpoints {
			if e := &endpoints[i]; e.Address == peer && e.Status == status.Healthy {
				return p.listens(t, service)
			}
		}
		return fmt.Errorf("%+v", endpoints)
	})
}

// listens is nil when callers of the service are not refused: a moment after it can be served.
func (p *proxyRun) listens(t *testing.T, service string) error {
	t.Helper()
	st := p.status(t)
	for i := range st.Services {
		if s := &st.Services[i]; s.Name == service && len(s.Vacant) > 0 {
			return fmt.Errorf("callers of %s are refused", service)
		}
	}
	return nil
}

// endpoints are what `eastway endpoints -o json` prints.
func (p *proxyRun) endpoints(t *testing.T, service string) []status.Endpoint {
	t.Helper()
	var found admin.ServiceEndpoints
	if err := json.Unmarshal([]byte(mustRun(t, "endpoints", service, "-o", "json", "--admin", p.site.admin())), &found); err != nil {
		t.Fatal(err)
	}
	return found.Endpoints
}

// lanes names all connections of all tunnels by their ends, once there are at least so many.
func (p *proxyRun) lanes(t *testing.T, least int) string {
	t.Helper()
	var names []string
	eventually(t, fmt.Sprintf("%s has %d lanes", p.site.name, least), func() error {
		names = nil
		for _, peer := range p.status(t).Peers {
			for i := range peer.Links {
				for _, l := range peer.Links[i].Lanes {
					names = append(names, fmt.Sprintf("%s %s %s %s-%s\n", peer.Peer, peer.Links[i].Replica, l.Name, l.Local, l.Remote))
				}
			}
		}
		if len(names) < least {
			return fmt.Errorf("%q", names)
		}
		return nil
	})
	slices.Sort(names)
	return strings.Join(names, "")
}

// record keeps what was written to it.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// lines are the JSON objects written so far in which each field has that value.
func (r *record) lines(t *testing.T, fields map[string]any) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(r.String()) {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("not a line of JSON: %v: %s", err, line)
		}
		match := true
		for k, v := range fields {
			match = match && l[k] == v
		}
		if match {
			found = append(found, l)
		}
	}
	return found
}

// eventually waits until check returns nil.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("not to be seen any more: %s: %v", what, err)
		case <-deadline:
			t.Fatalf("after %s still not: %s: %v", patience, what, err)
		}
	}
}
