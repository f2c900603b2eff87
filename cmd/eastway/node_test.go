package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/command"
	nodereport "github.com/eastway/eastway/internal/takeover/report"
)

func TestNodeUsage(t *testing.T) {
	t.Parallel()
	wantRefused(t, "node", map[string]string{
		"":                                        "--node-name is required",
		"--node-name n --namespace=":              "--namespace is empty",
		"--node-name n --proxies-service=":        "--proxies-service is empty",
		"--node-name n --proxy-health-port 0":     "--proxy-health-port is 0",
		"--node-name n --health 15022":            `--health: "15022" is not HOST:PORT`,
		"--node-name n --health=":                 "--health is empty",
		"--node-name n --check-address 1.2.3.4:0": "--check-address",
		"--node-name n --log-level loud":          "--log-level",
		"--node-name n --svid x":                  "--svid needs --cluster",
		"n1":                                      "unexpected argument",
	})
	if got := runCommand(t, "node", "--node-name", "n", "--kubeconfig", filepath.Join(t.TempDir(), "none")); got.code != command.Failure ||
		!strings.Contains(got.stderr, "find the Kubernetes API server") {
		t.Errorf("without a kubeconfig: %+v", got)
	}
}

// An agent without an API server reports that, changes nothing, and ends on SIGTERM.
func TestNodeWithoutAPIServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	log, done := &record{}, make(chan int, 1)
	go func() {
		done <- run(ctx, []string{
			"node", "--node-name", "n1", "--kubeconfig", deadKubeconfig(t), "--health", "127.0.0.1:0", "--state", t.TempDir(), "--check-address=",
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
		var status nodereport.Status
		if path == "/takeovers" {
			err = json.NewDecoder(resp.Body).Decode(&status)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want || err != nil || !status.Written.IsZero() {
			t.Errorf("%s: %d, %v, %+v", path, resp.StatusCode, err, status)
		}
	}
	cancel()
	if code := <-done; code != command.OK {
		t.Errorf("exit code %d", code)
	}
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		t.Error("it still listens")
	}
}
