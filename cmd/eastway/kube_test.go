package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
)

// kubeWorld is a kubeconfig with the clusters a and b, in which Eastway is installed.
type kubeWorld struct {
	a, b       *kubetest.Server
	kubeconfig string
}

func newKubeWorld(t *testing.T) *kubeWorld {
	t.Helper()
	scheme, err := kubecli.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	w := &kubeWorld{a: kubetest.New(t, scheme), b: kubetest.New(t, scheme)}
	w.a.Install("eastway-system", "eastway", kubetest.Manifest(t, "a", "a.example.com:15443"))
	w.b.Install("eastway-system", "eastway", kubetest.Manifest(t, "b"))
	w.kubeconfig = kubetest.Kubeconfig(t, map[string]*kubetest.Server{"ctx-a": w.a, "ctx-b": w.b})
	return w
}

// run runs a command line with the world's kubeconfig.
func (w *kubeWorld) run(t *testing.T, line string) result {
	t.Helper()
	return runCommand(t, append(strings.Fields(line), "--kubeconfig", w.kubeconfig)...)
}

// want checks the exit code, and words on stdout and stderr.
func (r result) want(t *testing.T, what string, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout, stdout) || !strings.Contains(r.stderr, stderr) {
		t.Errorf("%s: exit %d\n%s\n%s\nwant exit %d with %q and %q", what, r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

// The pod of helm test goes with its ServiceAccount; if that cannot be, the test fails, and helm removes the pod.
func TestPodOfHelmTest(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	const line = "peer export --context ctx-a --test-pod eastway-test"
	w.run(t, line).want(t, "without an account", command.NotFound, "", "read ServiceAccount eastway-system/eastway-test")
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "eastway-system", Name: "eastway-test", UID: "one"}}
	w.a.Add(account)
	w.run(t, line).want(t, "without a pod", command.NotFound, "", "set the owner of pod eastway-system/eastway-test")
	w.a.AddPod("eastway-system", "eastway-test", "eastway", "test", "n")
	w.run(t, line).want(t, "with both", command.OK, "- a.example.com:15443\n", "")
	var pod corev1.Pod
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ServiceAccount", Name: "eastway-test", UID: "one"}}
	if !w.a.Get("/v1/pods", "eastway-system", "eastway-test", &pod) || !slices.Equal(pod.OwnerReferences, owner) ||
		pod.Status.Phase != corev1.PodRunning {
		t.Errorf("%+v", pod)
	}
}

func TestPeerExportOfACluster(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	w.run(t, "peer export --context ctx-a").want(t, "a", command.OK, "- a.example.com:15443\n", "")
	b := w.run(t, "peer export --context ctx-b")
	b.want(t, "b", command.OK, "# Cluster b. In the cluster that is to trust it: eastway peer import FILE\n", "note: without an address")
	w.run(t, "peer export --context ctx-b --address b:1 --format jwks").want(t, "changed", command.OK, "- b:1\n", "")
	w.run(t, "peer export --context ctx-c").want(t, "unknown context", command.Usage, "", `unknown context "ctx-c": the kubeconfig has ctx-a, ctx-b`)
	w.run(t, "peer export --release other").want(t, "other release", command.Unreachable, "", "no ConfigMap other-cluster")
	w.run(t, "peer export --ca ca --cluster a").want(t, "both worlds", command.Usage, "", "none of the others can be")
	w.run(t, "peer export --format der").want(t, "format", command.Usage, "", `"der"`)
}

func TestPeerCommandsInKubernetes(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	file := filepath.Join(t.TempDir(), "b.yaml")
	if err := os.WriteFile(file, []byte(w.run(t, "peer export --context ctx-b").stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, "peer import "+file+" --dry-run").want(t, "dry run", command.OK, "would be written to context ctx-a", "")
	w.run(t, "peer list").want(t, "nothing there", command.OK, "PEER  TRUSTED", "")
	w.run(t, "peer import "+file).want(t, "import", command.OK,
		"peer b: added as spiffe://b.eastway.internal/eastway/cluster/b, written to context ctx-a\n", "")
	w.run(t, "peer import "+file).want(t, "again", command.OK, "peer b: unchanged\n", "")
	w.run(t, "peer import "+file+" --context ctx-b").want(t, "own", command.Failure, "", `"b" is this cluster itself`)

	p := &v1alpha1.Peer{}
	if !w.a.Get("eastway.dev/v1alpha1/peers", "", "b", p) {
		t.Fatal("no Peer")
	}
	p.Status = v1alpha1.PeerStatus{
		Lanes: 6, Services: 3, LastError: "dial b: i/o timeout", RoundTripTime: &metav1.Duration{Duration: 31 * time.Millisecond},
		Conditions: []metav1.Condition{
			{Type: v1alpha1.PeerTrusted, Status: "True"},
			{Type: v1alpha1.PeerConnected, Status: "True"},
			{Type: v1alpha1.PeerReachableFromUs, Status: "False"},
		},
	}
	w.a.Add(p)
	got := w.run(t, "peer list")
	golden(t, "peer-list.txt", []byte(got.stdout))
	if got = w.run(t, "peer list -o json"); !json.Valid([]byte(got.stdout)) {
		t.Errorf("%+v", got)
	}
	w.run(t, "__complete peer remove").want(t, "complete", command.OK, "", "")
	w.run(t, "peer remove b").want(t, "remove", command.OK, "peer b: removed from context ctx-a; its tunnels close\n", "keeps its Peer")
	w.run(t, "peer remove b").want(t, "remove again", command.NotFound, "", "remove Peer b: not found")
	w.run(t, "peer remove").want(t, "remove nothing", command.Usage, "", "missing argument NAME")
}

func TestPeerLinkAndRemoveBothWays(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	dry := w.run(t, "peer link --contexts ctx-a,ctx-b --dry-run")
	dry.want(t, "dry run", command.OK, "# in cluster b: kubectl --context ctx-b apply -f -\napiVersion", "")
	if strings.Count(dry.stdout, "kind: Peer") != 2 {
		t.Errorf("%s", dry.stdout)
	}
	w.run(t, "peer link --contexts ctx-a,ctx-b --timeout 50ms").want(t, "link", command.Failure,
		"a: peer b: added as spiffe://b.eastway.internal/eastway/cluster/b, written to context ctx-a\nb: peer a: added",
		"a to b: not connected yet")
	for _, s := range []*kubetest.Server{w.a, w.b} {
		for _, name := range []string{"a", "b"} {
			p := &v1alpha1.Peer{}
			if s.Get("eastway.dev/v1alpha1/peers", "", name, p) {
				p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PeerConnected, Status: "True"}}
				s.Add(p)
			}
		}
	}
	w.run(t, "peer link --contexts ctx-a,ctx-b").want(t, "linked", command.OK,
		"a: peer b: unchanged\nb: peer a: unchanged\na to b: connected\nb to a: connected\nAll 2 clusters are connected to each other.\n", "")
	w.run(t, "peer remove --contexts ctx-a,ctx-b").want(t, "remove", command.OK,
		"peer b: removed from context ctx-a; its tunnels close\npeer a: removed from context ctx-b", "")
	w.run(t, "peer remove --contexts ctx-a,ctx-b").want(t, "remove again", command.OK, "peer b: not in context ctx-a\n", "")
	w.run(t, "peer link --contexts ctx-a,ctx-b --release other").want(t, "not installed", command.Unreachable, "", "no ConfigMap other-cluster")
	w.a.Add(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "other-controller", Namespace: "eastway-system", Labels: map[string]string{
		"app.kubernetes.io/name": "eastway", "app.kubernetes.io/instance": "other", "app.kubernetes.io/component": "controller",
	}}})
	w.run(t, "peer link --contexts ctx-a,ctx-b --release other --timeout 1ms").want(t, "starting", command.Failure, "", "in time: it has no pods")
	w.run(t, "peer link --contexts ctx-a").want(t, "one", command.Usage, "", "name at least two")
	w.run(t, "peer link --contexts ctx-a,ctx-a").want(t, "twice", command.Failure, "", "are the same cluster")
	w.a.AddCA("eastway-system", "eastway", kubetest.NewCA(t, "a"))
	w.run(t, "peer link --contexts ctx-a,ctx-b --timeout 0").want(t, "new root", command.OK, "b: peer a: added",
		"note: context ctx-a: peers get the manifest as it is: Secret eastway-ca has other roots")
	w.run(t, "peer export --context ctx-a").want(t, "export", command.OK, "# Cluster a", "follows within half a minute: export it again then\n")
}

// A kubeconfig may be there for something else: beside a proxy on this machine, --admin is what was meant.
func TestStatusBesideAnotherCluster(t *testing.T) {
	w := newKubeWorld(t)
	t.Setenv("KUBECONFIG", w.kubeconfig)
	for _, line := range []string{"status", "endpoints hello"} {
		runCommand(t, strings.Fields(line)...).want(t, line, command.Unreachable, "", "for a proxy on this machine: --admin")
	}
	if got := runCommand(t, "status", "--context", "ctx-a"); strings.Contains(got.stderr, "--admin") {
		t.Errorf("a cluster was chosen: %s", got.stderr)
	}
}

func TestStatusOfAPod(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	w.run(t, "status").want(t, "nothing installed", command.Unreachable, "", "no pods of release eastway")
	w.a.AddPod("eastway-system", "eastway-proxy-0", "eastway", "proxy", "node-0")
	w.a.AddPod("eastway-system", "eastway-proxy-1", "eastway", "proxy", "node-1")
	w.a.Forward("eastway-proxy-1", kubecli.AdminPort, startAdmin(t))
	// The first one does not answer: the second one is asked.
	w.run(t, "status").want(t, "status", command.OK, "Pod        eastway-system/eastway-proxy-1 (context ctx-a)\n"+
		"           one of 2 ready proxies (--all: every one, --proxy POD: another one)\nCluster    cn-hangzhou\n",
		"reach") // how it fails depends on which side of the stream ends first
	w.run(t, "status --proxy eastway-proxy-0").want(t, "that one", command.Unreachable, "", "reach")
	w.run(t, "status --proxy nope").want(t, "unknown pod", command.NotFound, "", `pods "nope" not found`)
	all := w.run(t, "status --all -o json")
	var statuses []struct {
		Pod string `json:"pod"`
		admin.Status
	}
	if err := json.Unmarshal([]byte(all.stdout), &statuses); err != nil || len(statuses) != 1 ||
		statuses[0].Pod != "eastway-system/eastway-proxy-1" || statuses[0].Cluster != "cn-hangzhou" {
		t.Errorf("%v: %+v", err, all)
	}
	all.want(t, "all", command.Unreachable, "", "reach")
	w.run(t, "status --proxy eastway-proxy-1").want(t, "the one that was named", command.OK, "(context ctx-a)\nCluster ", "")
	w.run(t, "endpoints mockb").want(t, "endpoints", command.OK,
		"on node node-1, one of 2 ready proxies (--all: every one, --proxy POD: another one):\n", "")
	got := w.run(t, "endpoints mockb --proxy eastway-proxy-1")
	golden(t, "endpoints-pod.txt", []byte(got.stdout))
	w.run(t, "endpoints nope --proxy eastway-proxy-1").want(t, "no service", command.NotFound, "", "no such service: default/nope")
	w.run(t, "endpoints mockb --proxy eastway-proxy-1 -o json").want(t, "JSON", command.OK, "{\n  \"pod\": \"eastway-system/eastway-proxy-1\",\n", "")
	w.run(t, "status --admin 127.0.0.1:1").want(t, "both worlds", command.Usage, "", "none of the others can be")
	w.a.Forbid("get", "pods/portforward")
	w.a.Forbid("create", "pods/portforward")
	w.run(t, "status").want(t, "not permitted", command.Failure, "", "it takes the right to create pods/portforward")
}

func TestExportCommand(t *testing.T) {
	t.Parallel()
	w := newKubeWorld(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}
	w.a.Add(service, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	w.run(t, "export shop/cart --wait 20ms").want(t, "no controller", command.OK,
		"shop/cart: exported by context ctx-a\n", "no controller set its status")
	say := func(conditions ...metav1.Condition) {
		e := &mcsv1beta1.ServiceExport{Status: mcsv1beta1.ServiceExportStatus{Conditions: conditions}}
		e.Namespace, e.Name = "shop", "cart"
		w.a.Add(e)
	}
	say(metav1.Condition{Type: "Valid", Status: "True", Reason: "Valid", Message: "The Service can be exported."},
		metav1.Condition{Type: "Ready", Status: "True", Reason: "Exported", Message: "The Service is exported to peers."})
	w.run(t, "export cart -n shop").want(t, "ready", command.OK, "shop/cart: was exported already by context ctx-a\n"+
		"  Valid: True, Valid: The Service can be exported.\n  Ready: True, Exported: The Service is exported to peers.\n", "")
	say(metav1.Condition{Type: "Valid", Status: "False", Reason: "NoService", Message: "There is no Service of that name."})
	w.run(t, "export cart -n shop").want(t, "invalid", command.Failure, "Valid: False", "cannot be exported: There is no Service of that name.")
	w.run(t, "unexport cart -n shop").want(t, "unexport", command.OK, "shop/cart: no longer exported by context ctx-a\n", "")
	w.run(t, "unexport cart -n shop").want(t, "unexport again", command.NotFound, "", "is not exported")
	w.run(t, "export basket -n shop").want(t, "no service", command.NotFound, "", "there are cart")
	got := runCommand(t, "__complete", "export", "--kubeconfig", w.kubeconfig, "-n", "shop", "")
	got.want(t, "completion", command.OK, "cart\n:4\n", "")
	got = runCommand(t, "__complete", "check", "--kubeconfig", w.kubeconfig, "--context", "")
	got.want(t, "completion", command.OK, "ctx-a\nctx-b\n:4\n", "")
}

// As `kubectl eastway` the command names itself so.
func TestKubectlPlugin(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := runAs(t.Context(), kubectlPlugin, []string{"status", "--nix"}, &stdout, &stderr)
	want := "eastway: status: unknown flag: --nix\nRun 'kubectl eastway status --help' for usage.\n"
	if code != command.Usage || stderr.String() != want {
		t.Errorf("%d %q, want %q", code, stderr.String(), want)
	}
	runAs(t.Context(), kubectlPlugin, []string{"peer", "link", "--help"}, &stdout, &stderr)
	for _, want := range []string{
		"\n  kubectl eastway peer link --contexts A,B[,C…] [flags]\n",
		"\n  kubectl eastway peer link --contexts cluster-a,cluster-b\n",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, stdout.String())
		}
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	runCommand(t, "--version").want(t, "--version", command.Usage, "", "eastway: unknown flag: --version; 'eastway version' prints it\n")
}

func TestPeerFilesListAndRemove(t *testing.T) {
	t.Parallel()
	d := newPeerDirs(t)
	if r := importFrom(t, d.export(t, "--address", "b.example.com:1"), "--config", d.config); r.code != command.OK {
		t.Fatal(r.stderr)
	}
	runCommand(t, "peer", "list", "--config", d.config).want(t, "list", command.OK, "PEER       ADDRESSES\ncluster-b  b.example.com:1\n", "")
	runCommand(t, "peer", "remove", "cluster-b", "--config", d.config).want(t, "remove", command.OK, "peer cluster-b: removed "+d.config, "")
	runCommand(t, "peer", "remove", "cluster-b", "--config", d.config).want(t, "again", command.NotFound, "", `there is no Peer "cluster-b"`)
	r := importFrom(t, d.export(t), "--config", d.config, "--dry-run")
	r.want(t, "dry run", command.OK, "would be written to", "")
	if entries, err := os.ReadDir(d.config); err != nil || len(entries) != 0 {
		t.Errorf("dry run wrote %v, %v", entries, err)
	}
}
