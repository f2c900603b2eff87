package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/check"
	"github.com/eastway/eastway/internal/takeover/eligible"
	nodereport "github.com/eastway/eastway/internal/takeover/report"
)

// someChecks have results of every level.
func someChecks() []check.Check {
	results := func(list ...check.Result) func(context.Context) []check.Result {
		return func(context.Context) []check.Result { return list }
	}
	return []check.Check{
		{Section: "kubernetes", Name: "API server", Run: results(check.Result{Level: check.OK, Message: "Kubernetes v1.34.4 answers"})},
		{
			Section: "kubernetes", Name: "clock", Hint: "use NTP",
			Run: results(check.Result{Level: check.Warning, Message: "the clock is 12s ahead"}),
		},
		{Section: "peers", Name: "peers", Run: results(
			check.Result{Level: check.Failed, Message: "peer b is not connected: \x1b[2Jforged\nline", Hint: "look there"},
			check.Result{Level: check.Skipped, Message: "peer c was not looked at"},
		)},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for format, file := range map[check.Format]string{check.Full: "check.txt", check.Short: "check-short.txt", check.JSON: "check.json"} {
		var b bytes.Buffer
		err := runChecks(t.Context(), someChecks(), check.NewReport(&b, format))
		if err == nil || err.Error() != "1 check failed" {
			t.Errorf("%s: %v", format, err)
		}
		golden(t, file, b.Bytes())
	}
	var b bytes.Buffer
	if err := runChecks(t.Context(), someChecks()[:2], check.NewReport(&b, check.Short)); err != nil {
		t.Errorf("warnings fail: %v", err)
	}
}

// With problems only, the output still says that something was looked at.
func TestShortReportOfSuccess(t *testing.T) {
	t.Parallel()
	well := check.Check{Run: func(context.Context) []check.Result {
		return []check.Result{{Level: check.OK}, {Level: check.OK}, {Level: check.Skipped}}
	}}
	var b bytes.Buffer
	err := runChecks(t.Context(), []check.Check{well}, check.NewReport(&b, check.Short))
	if err != nil || b.String() != "2 checks passed, 1 skipped\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestCheckCommand(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	got := w.run(t, "check -o json")
	var v struct {
		OK      bool
		Failed  int
		Results []check.Result
	}
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.OK || v.Failed != 1 || len(v.Results) < 4 {
		t.Errorf("%v: %+v", err, got)
	}
	got.want(t, "check", command.Failure, "", "1 check failed\n")
	w.run(t, "check -o short").want(t, "short", command.Failure,
		"[FAIL] there is no installation of Eastway: no pods of release eastway in namespace eastway-system of context ctx-a\n"+
			"       hint: install it (helm install eastway charts/eastway -n eastway-system --create-namespace --wait "+
			"--set cluster=NAME --kube-context ctx-a)", "")
	w.run(t, "check --call nonsense").want(t, "target", command.Usage, "", `"nonsense" is not NAMESPACE/SERVICE:PORT`)
	w.run(t, "check -o yaml").want(t, "format", command.Usage, "", "must be full, short or json")
}

// A directory is checked without a cluster, and nothing is started.
func TestCheckOfManifests(t *testing.T) {
	t.Parallel()
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: hello}\nspec: {%sports: [{port: 80}]}\n"
	const foreign = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
	for name, c := range map[string]struct {
		text string
		code int
		want []string
	}{
		"good": {fmt.Sprintf(service, "clusterIP: 127.1.0.1, ") + foreign, command.OK, []string{
			"[skip] not read: a.yaml: objects of kinds that Eastway does not read are ignored: apps/v1 Deployment\n",
			"[ok]   a proxy uses 1 Service; files read: 1\n", "1 check passed, 1 skipped\n",
		}},
		"doubtful": {fmt.Sprintf(service, ""), command.OK, []string{"[warn] a.yaml:4: document 1: spec.clusterIP: not set: callers have no address"}},
		"broken":   {"kind: [\n", command.Failure, []string{"[FAIL] a.yaml:1: document 1: invalid YAML", "[warn] a proxy uses no object"}},
		"itself": {
			"apiVersion: eastway.dev/v1alpha1\nkind: Peer\nmetadata: {name: own}\nspec: {spiffeID: spiffe://x/y, trustBundle: x}\n",
			command.Failure,
			[]string{`[FAIL] a.yaml:3: document 1: metadata.name: "own" is this cluster itself`},
		},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"check", "--cluster", "own", "--config", dir}, &stdout, &stderr)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(stdout.String(), want) {
				t.Errorf("%s: %d, %s%s, want %d and %q", name, code, &stdout, &stderr, c.code, want)
			}
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"check", "--config", "/nowhere"}, &stdout, &stderr); code != command.Usage ||
		!strings.Contains(stderr.String(), "or name another") {
		t.Errorf("%d: %s", code, &stderr)
	}
	if code := run(t.Context(), []string{"check", "--cluster", "own"}, &stdout, &stderr); code != command.Usage {
		t.Errorf("--cluster alone: %d: %s", code, &stderr)
	}
}

func TestTakeoverCommand(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	cart := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}
	cart.Spec = corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.1.1", Ports: []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}},
	}
	headless := cart.DeepCopy()
	headless.Name, headless.Spec.ClusterIP = "headless", corev1.ClusterIPNone
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	w.a.Add(cart, headless, node, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	w.run(t, "takeover shop/headless").want(t, "headless", command.Failure, "[FAIL] it cannot be taken over: it is headless",
		"was not taken over, and nothing was changed: 1 check failed\n")
	w.run(t, "takeover shop/cart").want(t, "not installed", command.Failure, "hint: install it (helm install eastway ",
		"nothing was changed: 1 check failed")
	w.a.AddPod("eastway-system", "eastway-controller-1", "eastway", "controller", "node-1")
	w.run(t, "takeover shop/cart --dry-run").want(t, "no proxies", command.Failure, "no proxy pods", "--force continues anyway")
	w.a.AddPod("eastway-system", "eastway-proxy-1", "eastway", "proxy", "node-1")
	w.run(t, "takeover shop/cart").want(t, "no agents", command.Failure, "--set node.enabled=true", "nothing was changed")
	if s := (&corev1.Service{}); !w.a.Get("/v1/services", "shop", "cart", s) || eligible.Wanted(s) {
		t.Errorf("it was annotated all the same: %v", s.Annotations)
	}

	w.a.AddPod("eastway-system", "eastway-proxy-1", "eastway", "proxy", "node-1")
	w.a.AddPod("eastway-system", "eastway-node-1", "eastway", "node", "node-1")
	agent := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		status := nodereport.Status{Datapath: nodereport.Datapath{Checked: true}}
		if s := (&corev1.Service{}); w.a.Get("/v1/services", "shop", "cart", s) && eligible.Wanted(s) {
			status.Services = []nodereport.ServiceStatus{{Service: "shop/cart"}}
		}
		_ = json.NewEncoder(rw).Encode(status)
	}))
	t.Cleanup(agent.Close)
	w.a.Forward("eastway-node-1", kubecli.NodeHealthPort, agent.Listener.Addr().String())
	w.run(t, "takeover shop/cart --dry-run").want(t, "dry run", command.OK, "shop/cart: nothing was changed (--dry-run)\n", "")
	got := w.run(t, "takeover cart -n shop")
	got.want(t, "takeover", command.OK, "shop/cart: annotated\nshop/cart: done on every node (1)\n", "")
	golden(t, "takeover.txt", []byte(got.stdout))
	w.run(t, "takeover cart -n shop --undo").want(t, "undo", command.OK, "shop/cart: annotation removed\nshop/cart: done on every node (1)\n", "")
	w.run(t, "takeover cart -n shop --undo --wait 0").want(t, "undo again", command.OK, "shop/cart: has no such annotation\n", "")
	w.run(t, "takeover nope -n shop").want(t, "no service", command.NotFound, "", "no Service nope")
}

// What others wrote cannot forge lines of the report.
func TestReportIsSafeForTerminals(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	_ = runChecks(t.Context(), someChecks(), check.NewReport(&b, check.Full))
	if strings.Contains(b.String(), "\x1b") || strings.Contains(b.String(), "\nline") {
		t.Errorf("%q", b.String())
	}
}
