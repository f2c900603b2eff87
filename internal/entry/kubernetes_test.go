package entry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const kubernetesClass = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eastway}
spec: {controllerName: eastway.dev/entry}
---
`

// serveObjects answers lists with these manifests once open is true, watches with silence, and what is not there as API servers do.
func serveObjects(t *testing.T, manifests string, open *atomic.Bool) http.Handler {
	t.Helper()
	lists := make(map[string]*unstructured.UnstructuredList)
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatal(err)
		}
		name := map[string]string{"GatewayClass": "gatewayclasses"}[u.GetKind()]
		if name == "" {
			name = strings.ToLower(u.GetKind()) + "s"
		}
		if lists[name] == nil {
			lists[name] = &unstructured.UnstructuredList{}
			lists[name].SetAPIVersion(u.GetAPIVersion())
			lists[name].SetKind(u.GetKind() + "List")
			lists[name].SetResourceVersion("1")
		}
		lists[name].Items = append(lists[name].Items, u)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := lists[path.Base(r.URL.Path)]
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !open.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case list == nil:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}`)
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			if err := json.NewEncoder(w).Encode(list); err != nil {
				t.Error(err)
			}
		}
	})
}

// The command serves what an API server has, and shows what it waits for until then.
func TestKubernetesMode(t *testing.T) { //nolint:paralleltest // the process's signals
	const host = "127.99.62.1"
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "cart "+r.URL.Path) }))
	defer backend.Close()
	at, backendPort, _ := net.SplitHostPort(backend.Listener.Addr().String())
	address, port := freePort(t, host)
	adminAt, _ := freePort(t, host)
	var open atomic.Bool
	objects := strings.TrimSuffix(kubernetesClass+fmt.Sprintf(manifests, port, "a", backendPort, at, backendPort), "\n")
	api := httptest.NewServer(serveObjects(t, objects, &open))
	defer api.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: %q}}],
  users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, user: a}}]}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var stderr lines
	var running sync.WaitGroup
	running.Go(func() {
		cmd := NewCommand() //nolint:contextcheck // cobra hands it on
		cmd.SetArgs([]string{"--kubernetes", "--kubeconfig", kubeconfig, "--service", "system/entry", "--address", host, "--admin", adminAt})
		cmd.SetOut(io.Discard)
		cmd.SetErr(&stderr)
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	status := func(parts ...string) {
		t.Helper()
		eventually(t, "status", func() error {
			var out bytes.Buffer
			cmd := newStatusCommand()
			cmd.SetArgs([]string{"--admin", adminAt})
			cmd.SetOut(&out)
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				return err
			}
			for _, part := range parts {
				if !strings.Contains(out.String(), part) {
					return fmt.Errorf("%s\nwithout %q", out.String(), part)
				}
			}
			return nil
		})
	}
	status("what to serve is not known yet", "Kubernetes API: the API server cannot be reached since")
	open.Store(true)
	tr := &http.Transport{DisableKeepAlives: true}
	eventually(t, "an answer of the backend", func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/a/b", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "cart /a/b" {
			return fmt.Errorf("%d %q, %w", resp.StatusCode, b, err)
		}
		return nil
	})
	status("shop/public", "shop/cart", "TrafficPolicy: the API server does not know trafficpolicies.eastway.dev")
	if !strings.Contains(stderr.String(), "Kubernetes objects are not used as they stand") {
		t.Errorf("log: %s", stderr.String())
	}
}
