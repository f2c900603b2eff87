package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/cluster/image"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) {
	name := os.Getenv(starterVariable)
	if name == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := startAndDie(context.Background(), name); err != nil { //nolint:forbidigo // as a main
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// needSupport skips a test where clusters cannot run.
func needSupport(t *testing.T) {
	t.Helper()
	need.Support(t, Supported())
}

// progress shows what a lab says as lines of the test.
type progress struct{ t *testing.T }

func (p progress) Write(text []byte) (int, error) {
	p.t.Helper()
	p.t.Log(strings.TrimRight(string(text), "\n"))
	return len(text), nil
}

// up brings a lab up that goes with the test, if that has not taken it down.
func up(t *testing.T, c Config) *Lab {
	t.Helper()
	c.Replace, c.Progress = true, progress{t}
	l, err := Up(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return l
}

// testImage is a shell and small programs.
const testImage = "docker.io/eastway-test/busybox:test"

func loadTestImage(t *testing.T, l *Lab) {
	t.Helper()
	files, err := image.Busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	if err := (image.Image{Name: testImage, Files: files}).Save(archive); err != nil {
		t.Fatal(err)
	}
	if err := l.LoadImage(t.Context(), archive); err != nil {
		t.Fatal(err)
	}
}

// kubectl is what a call of it printed.
func kubectl(t *testing.T, c *Cluster, args ...string) string {
	t.Helper()
	output, err := c.Kubectl(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: kubectl %v: %v\n%s", c.Name, args, err, output)
	}
	return strings.TrimSpace(string(output))
}

// eventually awaits a condition of the test.
func eventually(t *testing.T, what string, done func(ctx context.Context) error) {
	t.Helper()
	const limit = time.Minute
	if err := Await(t.Context(), what, limit, done); err != nil {
		t.Fatal(err)
	}
}

// echoManifest is a pod on each node that answers with its node's name, as a
// Service and on a port of each node.
const echoManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: echo
          image: ` + testImage + `
          command: [sh, -c, "echo $NODE > /tmp/index.html; echo serving; exec httpd -f -p 8080 -h /tmp"]
          env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  type: NodePort
  selector: {app: echo}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: v1
kind: Service
metadata: {name: echo-near}
spec:
  selector: {app: echo}
  trafficDistribution: PreferClose
  ports: [{port: 80, targetPort: 8080}]
`
