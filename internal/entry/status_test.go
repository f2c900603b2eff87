package entry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// statuses notes what is written, and has one Lease that anyone may have.
type statuses struct {
	http.Handler

	mu      sync.Mutex
	lease   []byte // nil: none
	form    string // of the Lease
	written map[string]string
}

func (s *statuses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, name, isLease := strings.Cut(r.URL.Path, "/namespaces/system/leases")
	if r.Method != http.MethodPatch && !isLease {
		s.Handler.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPatch:
		s.written[r.URL.Path] += string(body)
	case r.Method == http.MethodGet && s.lease == nil:
		w.WriteHeader(http.StatusNotFound)
		body = []byte(`{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}`)
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", s.form)
		body = s.lease
	case name == "" || name == "/entry":
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		s.lease, s.form = body, r.Header.Get("Content-Type")
	}
	_, _ = w.Write(body)
}

// The command writes what became of manifests into their status, and gives its Lease back at its end.
func TestStatusIsWritten(t *testing.T) { //nolint:paralleltest // the process's signals
	const host = "127.99.62.2"
	self, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	_, port := freePort(t, host)
	adminAt, _ := freePort(t, host)
	var open atomic.Bool
	open.Store(true)
	objects := strings.TrimSuffix(kubernetesClass+fmt.Sprintf(manifests, port, "a", "80", "192.0.2.1", "80"), "\n")
	s := &statuses{Handler: serveObjects(t, objects, &open), written: make(map[string]string)}
	api := httptest.NewServer(s)
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: %q}}],
  users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, user: a}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		cmd := NewCommand() //nolint:contextcheck // cobra hands it on
		cmd.SetArgs([]string{
			"--kubernetes", "--kubeconfig", kubeconfig, "--namespace", "system", "--service", "system/entry", "--address", host, "--admin", adminAt,
		})
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	const at = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/"
	eventually(t, "statuses", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for path, part := range map[string]string{
			at + "gateways/public/status": "the Service of this Gateway has no port",
			at + "httproutes/cart/status": `"controllerName":"eastway.dev/entry"`,
		} {
			if !strings.Contains(s.written[path], part) {
				return fmt.Errorf("%s: %q", path, s.written[path])
			}
		}
		return nil
	})
	eventually(t, "readiness without a port", func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+adminAt+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
	held := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(string(s.lease), self+"_")
	}
	if !held() {
		t.Error("the Lease does not name this process")
	}
	stop()
	running.Wait()
	if held() {
		t.Error("the Lease is held after the end")
	}
}
