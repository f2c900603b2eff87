package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/takeover"
)

func TestNodeUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                        "--node-name is required",
		"--node-name n --namespace=":              "--namespace is empty",
		"--node-name n --proxies-service=":        "--proxies-service is empty",
		"--node-name n --proxy-health-port 0":     "--proxy-health-port is 0",
		"--node-name n --health 15022":            "--health",
		"--node-name n --check-address 1.2.3.4:0": "--check-address",
		"--node-name n --log-level loud":          "--log-level",
		"n1":                                      "unexpected argument",
	} {
		got := runCommand(t, append([]string{"node"}, strings.Fields(args)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("eastway node %s = %+v, want %q", args, got, want)
		}
	}
	if got := runCommand(t, "node", "--node-name", "n", "--kubeconfig", filepath.Join(t.TempDir(), "none")); got.code != exitFailure ||
		!strings.Contains(got.stderr, "access to the API server") {
		t.Errorf("without a kubeconfig: %+v", got)
	}
}

// An agent without an API server says so, touches nothing, and ends when it is told to.
func TestNodeWithoutAPIServer(t *testing.T) {
	t.Parallel()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	const nobody = `{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],` +
		`"contexts":[{"name":"c","context":{"cluster":"c","user":""}}]}`
	if err := os.WriteFile(kubeconfig, []byte(nobody), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log, done := &record{}, make(chan int, 1)
	go func() {
		done <- run(ctx, []string{
			"node", "--node-name", "n1", "--kubeconfig", kubeconfig, "--health", "127.0.0.1:0", "--state", t.TempDir(), "--check-address=",
		}, &bytes.Buffer{}, log)
	}()
	address := ""
	eventually(t, "the agent says where it listens", func() error {
		m := regexp.MustCompile(`"health":"([^"]+)"`).FindStringSubmatch(log.String())
		if m == nil {
			return errors.New("nothing yet")
		}
		address = m[1]
		return nil
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/takeovers": http.StatusOK} {
		resp, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		var status takeover.Status
		if path == "/takeovers" {
			err = json.NewDecoder(resp.Body).Decode(&status)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || err != nil || !status.Written.IsZero() {
			t.Errorf("%s: %d, %v, %+v", path, resp.StatusCode, err, status)
		}
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		t.Error("it still listens")
	}
}
