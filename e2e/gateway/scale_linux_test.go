package gateway

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/image"
	"github.com/eastway/eastway/e2e/cluster/lab"
)

const (
	prometheusImage = "docker.io/eastway-test/prometheus:e2e"
	adapterImage    = "docker.io/eastway-test/prometheus-adapter:e2e"
)

// Entries, and the requests per second for which there is one.
const (
	fewest, most = 2, 4
	perEntry     = 50
)

// Requests per second: of a load that goes on all the time, and of one that takes more entries.
const (
	calm  = 20
	burst = 3*perEntry + 20
)

// patience for what takes a minute on a quiet computer: autoscalers look at their metrics four times a minute.
const patience = 4 * time.Minute

//go:embed manifests
var manifests embed.FS

// rules of prometheus-adapter: those of docs/entry.md.
func rules() (string, error) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "entry.md"))
	if err != nil {
		return "", err
	}
	_, after, _ := strings.Cut(string(page), "```yaml\nrules:\n")
	block, _, found := strings.Cut(after, "```")
	if !found {
		return "", errors.New("docs/entry.md has no rules of prometheus-adapter")
	}
	const indent = "    "
	return indent + "rules:\n" + indent + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n"+indent), nil
}

// autoscaling by requests per second alone. It shrinks at once, for the test's sake.
func autoscaling() []string {
	const down = "entry.autoscaling.behavior.scaleDown."
	const metric = "entry.autoscaling.metrics[0]."
	return []string{
		"entry.autoscaling.enabled=true",
		fmt.Sprintf("entry.autoscaling.minReplicas=%d", fewest),
		fmt.Sprintf("entry.autoscaling.maxReplicas=%d", most),
		"entry.autoscaling.targetCPUUtilizationPercentage=0",
		metric + "type=Pods",
		metric + "pods.metric.name=eastway_entry_requests_per_second",
		metric + "pods.target.type=AverageValue",
		fmt.Sprintf("%spods.target.averageValue=%d", metric, perEntry),
		down + "stabilizationWindowSeconds=5",
		down + "policies[0].type=Pods", down + "policies[0].value=2", down + "policies[0].periodSeconds=15",
		"entry.drain.delaySeconds=5",
	}
}

// Under more requests than two entries are to have there are more entries; after it they drain and go; then all are replaced. A little load goes
// on all the time, and no request fails.
func (w *world) scale(t *testing.T) {
	ctx := t.Context()
	must(t, w.deployMetrics(ctx))
	must(t, w.apply(ctx, "shop.yaml", nil))
	var address string
	must(t, lab.Await(ctx, "the Gateway to be programmed", patience, func(ctx context.Context) (err error) {
		address, err = w.address(ctx, "shop", "public")
		return err
	}))
	must(t, w.Upgrade(ctx, w.cluster, autoscaling()...))
	must(t, lab.Await(ctx, "a call through the entry", patience, func(ctx context.Context) error {
		out, err := w.node().Command(ctx, "curl", "-sf", "-m", "5", "-o", "/dev/null", "http://"+address+"/").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))

	steady := w.load(ctx, t, "calm", address, calm)
	must(t, lab.Await(ctx, "the autoscaler to have its metrics", patience, func(ctx context.Context) error {
		if _, err := w.perEntry(ctx); err != nil {
			return err
		}
		return w.entries(ctx, fewest, fewest)
	}))
	much := w.load(ctx, t, "burst", address, burst)
	must(t, lab.Await(ctx, "more entries", patience, func(ctx context.Context) error { return w.entries(ctx, fewest+1, most) }))
	much.end(t, burst)
	must(t, lab.Await(ctx, "as few entries as before", patience, func(ctx context.Context) error { return w.entries(ctx, fewest, fewest) }))
	for _, args := range [][]string{{"rollout", "restart"}, {"rollout", "status", "--timeout=3m"}} {
		out, err := w.cluster.Kubectl(ctx, append(args, "-n", w.Namespace, "deployment/eastway-entry")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	steady.end(t, calm)
}

// deployMetrics by which autoscalers see requests per second.
func (w *world) deployMetrics(ctx context.Context) error {
	for name, program := range map[string]struct {
		module binaries.Module
		name   string
	}{prometheusImage: {binaries.Prometheus, "prometheus"}, adapterImage: {binaries.PrometheusAdapter, "adapter"}} {
		folder, err := binaries.Builder{Progress: os.Stderr}.Programs(ctx, program.module)
		if err != nil {
			return err
		}
		err = w.loadImage(ctx, &image.Image{
			Name: name, Files: []image.File{{Path: "/" + program.name, Source: filepath.Join(folder, program.name)}}, User: "0:0",
			Entrypoint: []string{"/" + program.name},
		})
		if err != nil {
			return err
		}
	}
	documented, err := rules()
	if err != nil {
		return err
	}
	return w.apply(ctx, "metrics.yaml", map[string]any{
		"Namespace": w.Namespace, "Rules": documented, "Prometheus": prometheusImage, "Adapter": adapterImage,
	})
}

func (w *world) apply(ctx context.Context, name string, values any) error {
	text, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := text.Execute(&out, values); err != nil {
		return err
	}
	return w.cluster.Apply(ctx, out.Bytes())
}

func (w *world) node() *lab.Node { return w.cluster.Nodes[0] }

// address of a Gateway that is programmed.
func (w *world) address(ctx context.Context, namespace, name string) (string, error) {
	const question = `jsonpath={.status.conditions[?(@.type=="Programmed")].status} {.status.addresses[0].value}`
	out, err := w.cluster.Kubectl(ctx, "-n", namespace, "get", "gateway", name, "-o", question).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	address, programmed := strings.CutPrefix(string(out), "True ")
	if !programmed || address == "" {
		return "", fmt.Errorf("status %q", out)
	}
	return address, nil
}

// perEntry is what the autoscaler knows of requests per second and entry.
func (w *world) perEntry(ctx context.Context) (string, error) {
	const question = "jsonpath={.status.currentMetrics[?(@.type==\"Pods\")].pods.current.averageValue}"
	out, err := w.cluster.Kubectl(ctx, "-n", w.Namespace, "get", "hpa", "eastway-entry", "-o", question).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	if len(out) == 0 {
		return "", errors.New("the autoscaler has no metrics")
	}
	return string(out), nil
}

// entries says what is missing until there are so many, all ready.
func (w *world) entries(ctx context.Context, least, most int) error {
	const question = "jsonpath={.status.replicas} {.status.readyReplicas}"
	out, err := w.cluster.Kubectl(ctx, "-n", w.Namespace, "get", "deployment", "eastway-entry", "-o", question).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	var all, ready int
	if _, err := fmt.Sscan(string(out), &all, &ready); err != nil || all < least || all > most || ready != all {
		seen, _ := w.perEntry(ctx)
		return fmt.Errorf("there are %q (all, ready), and the autoscaler sees %s requests per second at each", out, seen)
	}
	return nil
}

// load is fortio, at work.
type load struct {
	command *exec.Cmd
	name    string
	began   time.Time
	// out is the result as JSON, said what else it prints.
	out, said bytes.Buffer
}

// load begins to call an address.
func (w *world) load(ctx context.Context, t *testing.T, name, address string, rate int) *load {
	t.Helper()
	folder, err := binaries.Builder{Progress: os.Stderr}.Programs(ctx, binaries.Fortio)
	must(t, err)
	l := &load{name: name, began: time.Now()}
	l.command = w.node().Command(ctx, filepath.Join(folder, "fortio"), "load", "-quiet", "-json", "-", "-t", "0", "-qps", fmt.Sprint(rate), "-c", "8",
		"-allow-initial-errors", "-stdclient", "http://"+address+"/")
	l.command.Stdout = &l.out
	l.command.Stderr = &l.said
	must(t, l.command.Start())
	t.Cleanup(func() {
		_ = l.command.Process.Kill() // it has ended if all went well
		_ = l.command.Wait()
	})
	return l
}

// end of a load, of which every call has to have succeeded, at about the rate that was wanted.
func (l *load) end(t *testing.T, rate int) {
	t.Helper()
	must(t, l.command.Process.Signal(unix.SIGINT))
	if err := l.command.Wait(); err != nil {
		t.Fatalf("fortio: %v: %s", err, &l.said)
	}
	var result struct {
		RetCodes          map[string]int
		ActualQPS         float64
		DurationHistogram struct{ Max, Avg float64 }
	}
	must(t, json.Unmarshal(l.out.Bytes(), &result))
	fmt.Fprintf(os.Stderr, "%s: %v in %v, %.0f a second, %.0f ms at most\n",
		l.name, result.RetCodes, time.Since(l.began).Round(time.Second), result.ActualQPS, 1000*result.DurationHistogram.Max)
	const part = 2 // at least half of the calls, on a busy computer
	if least := rate / part * int(time.Since(l.began).Seconds()); result.RetCodes["200"] < least {
		t.Errorf("%s: %v, want at least %d times 200", l.name, result.RetCodes, least)
	}
	for code, count := range result.RetCodes {
		if code != "200" {
			t.Errorf("%s: %d calls ended with %s", l.name, count, code)
		}
	}
}
