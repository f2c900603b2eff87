package entry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
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

const manifests = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: public, namespace: shop}
spec:
  gatewayClassName: eastway
  listeners: [{name: http, port: %s, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{name: public}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /%s}}]
    backendRefs: [{name: cart, port: %s}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  clusterIP: %s
  ports: [{name: http, port: %s}]
`

func freePort(t *testing.T, host string) (address, port string) {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return l.Addr().String(), port
}

type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// The command serves the manifests of a directory, follows them, keeps what worked, and shows what is wrong.
func TestFileMode(t *testing.T) { //nolint:paralleltest // the process's signals
	const host = "127.99.61.1"
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "cart "+r.URL.Path) }))
	defer backend.Close()
	at, backendPort, _ := net.SplitHostPort(backend.Listener.Addr().String())
	address, port := freePort(t, host)
	adminAt, _ := freePort(t, host)
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	write(fmt.Sprintf(manifests, port, "a", backendPort, at, backendPort))
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr lines
	var running sync.WaitGroup
	running.Go(func() {
		cmd := NewCommand() //nolint:contextcheck // cobra hands it on
		cmd.SetArgs([]string{"--manifests", dir, "--address", host, "--admin", adminAt, "--access-log", "-"})
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	tr := &http.Transport{DisableKeepAlives: true}
	get := func(url string) (int, string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			return 0, "", err
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	expect := func(url string, code int, part string) {
		t.Helper()
		eventually(t, url, func() error {
			got, body, err := get(url)
			if err != nil || got != code || !strings.Contains(body, part) {
				return fmt.Errorf("%d %q, %w", got, body, err)
			}
			return nil
		})
	}
	status := func() string {
		var out bytes.Buffer
		cmd := newStatusCommand()
		cmd.SetArgs([]string{"--admin", adminAt})
		cmd.SetOut(&out)
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			return err.Error()
		}
		return out.String()
	}
	expect("http://"+address+"/a/b", http.StatusOK, "cart /a/b")
	expect("http://"+adminAt+"/readyz", http.StatusOK, "true")
	expect("http://"+adminAt+"/metrics", http.StatusOK, `eastway_entry_requests_total{code="200",route="shop/cart"} 1`)
	if got := status(); !strings.Contains(got, "shop/public") || !strings.Contains(got, "shop/cart") || strings.Contains(got, "problems:") {
		t.Errorf("status:\n%s", got)
	}
	if !strings.Contains(stdout.String(), `"route_name":"shop/cart"`) {
		t.Errorf("access log: %s", stdout.String())
	}
	write(fmt.Sprintf(manifests, port, "c", backendPort, at, "high"))
	expect("http://"+address+"/c", http.StatusOK, "cart /c")
	expect("http://"+address+"/a", http.StatusNotFound, "")
	if got := status(); !strings.Contains(got, "a.yaml:22: document 3: spec.ports[0].port") || !strings.Contains(got, "no_route") {
		t.Errorf("status:\n%s", got)
	}
	if !strings.Contains(stderr.String(), "manifest is not used as it stands") {
		t.Errorf("log: %s", stderr.String())
	}
}

// Command lines that are refused say what is wrong.
func TestUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                     "--manifests is required",
		"--manifests x --kubernetes":           "--manifests excludes --kubernetes",
		"--manifests x --service a/b":          "need --kubernetes",
		"--kubernetes --service entry":         "is not NAMESPACE/NAME",
		"--kubernetes --kubeconfig /nowhere":   "--kubeconfig",
		"--manifests x --max-connections 0":    "must be positive",
		"--manifests x --access-log-rate -1":   "must not be negative",
		"--manifests x --drain-delay -1s":      "must not be negative",
		"--manifests x --address example.com":  "is not an IP address",
		"--manifests x --health 1":             "--health",
		"--manifests x --trusted 10.0.0.1":     "is not a prefix",
		"--manifests x --log-level loud":       "--log-level",
		"--manifests /nowhere --admin 1.2.3.4": "--admin",
		"explode":                              "unknown command",
	} {
		cmd := NewCommand()
		cmd.SetArgs(strings.Fields(args))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
