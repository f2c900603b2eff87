package gateway

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/image"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/need"
)

const (
	// suiteTime for all tests of the suite.
	suiteTime = 15 * time.Minute
	// class is the GatewayClass that the chart creates.
	class = "eastway"
)

// profiles that the suite is run with.
var profiles = [...]string{"GATEWAY-GRPC", "GATEWAY-HTTP"}

// keepVariable names a lab that stays, and is used again.
const keepVariable = "E2E_KEEP"

func TestMain(m *testing.M) {
	if os.Getenv(keepVariable) != "" { // clusters that stay have goroutines that wait for them
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// reads lets entries read what the suite's Gateways and policies name, in namespaces that the suite creates: the chart's values name those of
// namespaces that are there.
const reads = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: conformance-reads}
rules:
- {apiGroups: [""], resources: [secrets, configmaps], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: conformance-reads}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: conformance-reads}
subjects: [{kind: ServiceAccount, name: eastway-entry, namespace: eastway-system}]
`

// world is a cluster with entries.
type world struct {
	*install.Installer
	cluster *lab.Cluster
	dir     string
}

func TestGateway(t *testing.T) {
	need.Support(t, lab.Supported())
	ctx := t.Context()
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "gateway"))
	must(t, err)
	must(t, os.MkdirAll(dir, 0o755))
	l, kept := bringUp(t)
	config := install.Config{Lab: l, Dir: dir, Progress: os.Stderr}
	w := &world{cluster: l.Clusters[0], dir: dir}
	t.Cleanup(func() {
		if t.Failed() && w.Installer != nil {
			w.Diagnose(context.WithoutCancel(ctx), t.Name())
		}
	})
	programs, err := binaries.Builder{Progress: os.Stderr}.Programs(ctx, binaries.GatewayConformance)
	must(t, err)
	w.Installer, err = install.New(ctx, config)
	must(t, err)
	if !kept {
		must(t, w.loadImages(ctx, programs))
		must(t, applyCRDs(ctx, w.cluster))
		must(t, w.Install(ctx, w.cluster, "entry.enabled=true", "entry.drain.delaySeconds=0", "entry.minReadySeconds=0"))
		must(t, w.cluster.Apply(ctx, []byte(reads)))
	}
	t.Run("scale", w.scale)
	t.Run("conformance", func(t *testing.T) { w.conformance(t, programs) })
}

// conformance: the suite passes with the features that the GatewayClass says are supported.
func (w *world) conformance(t *testing.T, programs string) {
	report := filepath.Join(w.dir, "report.yaml")
	must(t, os.RemoveAll(report))
	suite := w.node().Command(t.Context(), filepath.Join(programs, string(binaries.GatewayConformance)),
		"-test.v", "-test.run=^TestConformance$", "-test.timeout="+suiteTime.String(), "-gateway-class="+class,
		"-conformance-profiles="+strings.Join(profiles[:], ","),
		"-organization=eastway", "-project=eastway", "-url=https://github.com/eastway/eastway", "-version="+install.Tag,
		"-contact=https://github.com/eastway/eastway/issues", "-report-output="+report)
	suite.Env = append(os.Environ(), "KUBECONFIG="+w.cluster.Kubeconfig)
	out, err := output(suite, filepath.Join(w.dir, "suite.log"))
	for _, failed := range results(out, "FAIL", `\S+`) {
		t.Errorf("%s fails", failed)
	}
	must(t, err)
	reasons := documented(t)
	skipped := results(out, "SKIP", `TestConformance/(\w+)`)
	for _, test := range skipped {
		if !slices.ContainsFunc(reasons, func(pattern string) bool { matched, _ := path.Match(pattern, test); return matched }) {
			t.Errorf("%s is not run, and docs/gateway-api.md has no reason", test)
		}
	}
	for _, pattern := range reasons {
		if !slices.ContainsFunc(skipped, func(test string) bool { matched, _ := path.Match(pattern, test); return matched }) {
			t.Errorf("docs/gateway-api.md has a reason why %s is not run, and it is run", pattern)
		}
	}
	checkCounts(t, report)
}

// documented are the tests that are not run, of the table in docs/gateway-api.md.
func documented(t *testing.T) (patterns []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "gateway-api.md"))
	must(t, err)
	_, table, _ := strings.Cut(string(page), "## Not run")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 2 {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			patterns = append(patterns, name[1])
		}
	}
	return patterns
}

// checkCounts holds the first table of docs/gateway-api.md to the suite's report.
func checkCounts(t *testing.T, written string) {
	t.Helper()
	text, err := os.ReadFile(written)
	must(t, err)
	type tests struct {
		Result     string
		Statistics struct{ Passed, Failed, Skipped int }
	}
	var report struct {
		Profiles []struct {
			Name           string
			Core, Extended tests
		}
	}
	must(t, yaml.Unmarshal(text, &report))
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "gateway-api.md"))
	must(t, err)
	if len(report.Profiles) != len(profiles) {
		t.Errorf("the report has %d profiles", len(report.Profiles))
	}
	for _, p := range report.Profiles {
		row := fmt.Sprintf("| %s | %d of %d pass | %d of %[4]d pass", p.Name, p.Core.Statistics.Passed,
			p.Core.Statistics.Passed, p.Extended.Statistics.Passed)
		if p.Core.Result != "success" || p.Extended.Result != "success" || !strings.Contains(string(page), row) {
			t.Errorf("the report says %+v, and docs/gateway-api.md has no row %q", p, row)
		}
	}
}

// bringUp one cluster, or find the one that was kept.
func bringUp(t *testing.T) (l *lab.Lab, kept bool) {
	t.Helper()
	name := os.Getenv(keepVariable)
	if name != "" {
		if found, err := lab.Open(name); err == nil {
			return found, true
		}
	}
	config := lab.Config{Name: cmp.Or(name, "gateway"), Clusters: 1, Progress: os.Stderr}
	l, err := lab.ForTest(t.Context(), config)
	must(t, err)
	if name == "" {
		t.Cleanup(func() { must(t, lab.Down(context.WithoutCancel(t.Context()), config.Name)) })
	}
	return l, false
}

// loadImages under the names that the suite's manifests have: one program is behind all but one.
func (w *world) loadImages(ctx context.Context, programs string) error {
	coredns, err := binaries.Builder{Progress: os.Stderr}.Programs(ctx, binaries.CoreDNS)
	if err != nil {
		return err
	}
	all := []image.Image{{
		Name:       "registry.k8s.io/coredns/coredns:v1.12.2",
		Files:      []image.File{{Path: "/coredns", Source: filepath.Join(coredns, "coredns")}},
		Entrypoint: []string{"/coredns"}, User: "0:0",
	}}
	for _, tag := range []string{"v1.5.1", "v1.6.0-dev.3"} {
		all = append(all, image.Image{
			Name:       "registry.k8s.io/gateway-api/echo-basic:" + tag,
			Files:      []image.File{{Path: "/echo-basic", Source: filepath.Join(programs, "echo-basic")}},
			Entrypoint: []string{"/echo-basic"}, User: "65532:65532",
		})
	}
	for i := range all {
		if err := w.loadImage(ctx, &all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) loadImage(ctx context.Context, i *image.Image) error {
	archive := filepath.Join(w.dir, "image.tar")
	if err := i.Save(archive); err != nil {
		return err
	}
	return w.cluster.LoadImage(ctx, archive)
}

// applyCRDs of the standard channel, from the module that this one requires.
func applyCRDs(ctx context.Context, c *lab.Cluster) error {
	module, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return fmt.Errorf("find the CRDs of Gateway API: %w", err)
	}
	crds := filepath.Join(strings.TrimSpace(string(module)), "config", "crd", "standard")
	if out, err := c.Kubectl(ctx, "apply", "--server-side", "-f", crds).CombinedOutput(); err != nil {
		return fmt.Errorf("apply the CRDs of Gateway API: %w\n%s", err, out)
	}
	return nil
}

// output of a command, which is also written to a file.
func output(command *exec.Cmd, log string) (string, error) {
	file, err := os.Create(log)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var out bytes.Buffer
	command.Stdout = io.MultiWriter(&out, file)
	command.Stderr = command.Stdout
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w; its output is in %s", filepath.Base(command.Path), err, log)
	}
	return out.String(), nil
}

// results are the tests with a result (FAIL, SKIP) whose names match.
func results(out, result, name string) (tests []string) {
	for _, found := range regexp.MustCompile(`(?m)^\s*--- `+result+`: (`+name+`) `).FindAllStringSubmatch(out, -1) {
		tests = append(tests, found[len(found)-1])
	}
	return tests
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
