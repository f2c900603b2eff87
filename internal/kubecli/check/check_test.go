package check

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/takeover/report"
)

// -update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite golden files")

// text of results; what changes from run to run is left out.
func text(results []Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprintf(&b, "%s | %s | %s | %s\n", r.Section, r.Check, r.Level, r.Message)
		if r.Hint != "" {
			fmt.Fprintf(&b, "    %s\n", r.Hint)
		}
	}
	return regexp.MustCompile(` in \d+ms`).ReplaceAllString(regexp.MustCompile(`\d+ days`).ReplaceAllString(b.String(), "N days"), " in Nms")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	target, err := ParseTarget("shop/cart:80")
	if err != nil {
		t.Fatal(err)
	}
	results, counts := newWorld(t).check(Options{Call: target})
	if counts[Failed]+counts[Warning]+counts[Skipped] > 0 {
		t.Errorf("%v", counts)
	}
	golden(t, "well.txt", text(results))
}

// What is wrong is found, at its level, with a hint.
func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil   func(*world)
		check   string
		level   Level
		message string
	}{
		"old Kubernetes": {func(w *world) { w.server.Version = "v1.28.3" }, "API server", Failed, "v1.28.3 is older than 1.31.0"},
		"no API server":  {func(w *world) { w.server.URL = "http://127.99.0.4:9" }, "API server", Failed, "connection refused"},
		"no CRDs": {
			func(w *world) {
				w.server.Drop("eastway.dev/v1alpha1/peers", "eastway.dev/v1alpha1/trafficpolicies", "eastway.dev/v1alpha1/externalservices")
			},
			"CRDs of Eastway", Failed, "not there",
		},
		"half the CRDs": {func(w *world) { w.server.Drop("eastway.dev/v1alpha1/peers") }, "CRDs of Eastway", Failed, "lacks peers"},
		"no v1alpha1": {
			func(w *world) { w.server.Drop("multicluster.x-k8s.io/v1alpha1/serviceimports") },
			"CRDs of the MCS API", Warning, "CoreDNS",
		},
		"proxy waits": {func(w *world) { w.unready("eastway-proxy-1") }, "proxies", Warning, "eastway-proxy-1 0/2 nodes"},
		"no proxy ready": {
			func(w *world) { w.unready("eastway-proxy-1"); w.unready("eastway-proxy-2") },
			"proxies", Failed, "no proxy pod is ready, of 2",
		},
		"one node": {func(w *world) {
			w.server.Remove("/v1/pods", ns, "eastway-proxy-2")
			w.server.AddPod(ns, "eastway-proxy-2", release, "proxy", "node-1")
		}, "zones", Warning, "on node node-1"},
		"scaled to 0": {func(w *world) {
			w.deployment("controller", 0, "")
			w.removePods("controller")
		}, "controller", Failed, "Deployment eastway-controller is scaled to 0"},
		"quota": {func(w *world) {
			w.deployment("proxy", 2, "exceeded quota: small")
			w.removePods("proxy", "controller")
		}, "proxies", Failed, "Deployment eastway-proxy has no pods: exceeded quota: small"},
		"rollout stuck": {
			func(w *world) { w.deployment("proxy", 2, `admission webhook "x" denied the request`) },
			"proxies", Warning, `Deployment eastway-proxy: 0 of 2 pods are of its present template: admission webhook "x" denied`,
		},
		"CA gone":     {func(w *world) { w.server.Remove("/v1/secrets", ns, release+"-ca") }, "CA", Failed, "the Secret of the CA is gone"},
		"CA replaced": {func(w *world) { w.server.AddCA(ns, release, kubetest.NewCA(w.t, "a")) }, "CA", Warning, "has other roots than the manifest"},
		"CA spoiled": {func(w *world) {
			s := &corev1.Secret{Data: map[string][]byte{"tls.crt": []byte("x")}}
			s.Namespace, s.Name = ns, release+"-ca"
			w.server.Add(s)
		}, "CA", Failed, "cannot be used"},
		"peer has none of the roots": {func(w *world) {
			w.peer(func(p *v1alpha1.Peer) { p.Annotations = map[string]string{v1alpha1.RootsAnnotation: "00"} })
		}, "CA", Warning, "peer b was linked with none of this cluster's present roots"},
		"export of no Service": {func(w *world) {
			reason := string(mcsv1beta1.ServiceExportReasonNoService)
			w.export("gone", mcsv1beta1.ServiceExportConditionValid, metav1.ConditionFalse, reason, "no Service")
		}, "exports", Warning, "shop/gone is not exported: no Service"},
		"export conflict": {func(w *world) {
			w.export("stock", mcsv1beta1.ServiceExportConditionConflict, metav1.ConditionTrue, "PortConflict", "port 80")
		}, "exports", Warning, "clusters export shop/stock differently: port 80"},
		"export waits": {func(w *world) {
			w.export("stock", mcsv1beta1.ServiceExportConditionReady, metav1.ConditionFalse, "Pending", "not yet")
		}, "exports", Warning, "shop/stock is not exported yet: not yet"},
		"policy refused": {
			func(w *world) {
				w.policy("p", metav1.ConditionFalse, v1alpha1.ReasonTargetNotFound, "no service cartt")
			},
			"policies", Warning, "TrafficPolicy shop/p is not in use: no service cartt",
		},
		"policies":       {func(w *world) { w.policy("p", metav1.ConditionTrue, "", "") }, "policies", OK, "1 TrafficPolicy is in use"},
		"one zone":       {func(w *world) { w.unready("eastway-proxy-1") }, "zones", Warning, "z1 without"},
		"nobody leads":   {func(w *world) { w.lease(time.Now().Add(-10 * time.Minute)) }, "leader", Failed, "no controller leads"},
		"other version":  {func(w *world) { w.status.Version = "v2" }, "versions", Warning, "proxies are v2, this command is v1"},
		"too few rights": {func(w *world) { w.denied = "nodes" }, "rights", Failed, "is not allowed to list/watch nodes"},
		"agents' rights": {
			func(w *world) { w.denied = "daemonsets" },
			"rights", Failed, "node agents (service account eastway-node) is not allowed to get daemonsets.apps eastway-node in eastway-system",
		},
		"controller's rights": {
			func(w *world) { w.denied = "serviceexports/status" },
			"rights", Failed,
			"the controller (service account eastway-controller) is not allowed to patch serviceexports.multicluster.x-k8s.io/status",
		},
		"rights unknown": {
			func(w *world) { w.server.Forbid("create", "subjectaccessreviews") },
			"rights", Skipped, "you have no right to check",
		},
		"proxy complains": {
			func(w *world) { w.status.Errors = []string{"port 7 is taken"} },
			"errors", Warning, "eastway-proxy-1: port 7 is taken",
		},
		"late certificate": {func(w *world) { w.expiry = time.Now().Add(time.Hour) }, "certificates", Warning, "and was not renewed"},
		"old certificate":  {func(w *world) { w.expiry = time.Now().Add(-time.Hour) }, "certificates", Failed, "eastway-proxy-1 expired 1h0m"},
		"proxy's clock":    {func(w *world) { w.offset = -10 * time.Minute }, "certificates", Failed, "behind this machine's"},
		"no peers": {
			func(w *world) { w.server.Drop("eastway.dev/v1alpha1/peers") },
			"peers", Failed, "list Peers: the CRD is missing",
		},
		"peer disconnected": {func(w *world) { w.peer(disconnected) }, "peers", Failed, "peer b is not connected: dial b: i/o timeout"},
		"peer partly": {
			func(w *world) { w.peer(func(p *v1alpha1.Peer) { p.Status.ConnectedProxies = 1 }) },
			"peers", Warning, "only at 1 of 2 proxies",
		},
		"peer over quota": {
			func(w *world) {
				w.peer(func(p *v1alpha1.Peer) {
					p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{
						Type: v1alpha1.PeerWithinQuota, Status: metav1.ConditionFalse, Message: "raise it",
					})
				})
			},
			"peers", Warning, "but exports more than its quota",
		},
		"UDP blocked": {func(w *world) { w.lanes("tcp", "bbr") }, "QUIC", Warning, "no QUIC lane from eastway-proxy-1 to b"},
		"TCP blocked": {func(w *world) { w.lanes("quic", "") }, "TCP", Warning, "no TCP lane from eastway-proxy-1 to b"},
		"no bbr":      {func(w *world) { w.lanes("tcp", "cubic") }, "congestion control", Warning, "TCP lanes use cubic"},
		"no clusterset": {
			func(w *world) { w.corefile("kubernetes cluster.local in-addr.arpa {\n}") },
			"clusterset.local", Warning, "zone is missing",
		},
		"a host of an ExternalService": {
			func(w *world) { w.external("198.51.100.7", nil) },
			"external names", Warning, "do not reach ExternalService shop/mydb, DNS pod coredns-1 leads them elsewhere: 198.51.100.7",
		},
		"a host that is nowhere": {
			func(w *world) { w.external("", nil) },
			"external names", Warning, "DNS pod coredns-1 leads them nowhere: no such name",
		},
		"a host that is looked up itself": {
			func(w *world) {
				w.external("198.51.100.7", func(e *v1alpha1.ExternalService) { e.Spec.Endpoints = nil })
			},
			"external names", Skipped, "mydb.com stays with its owner's DNS",
		},
		"a host that is looked up itself, and led to the proxies": {
			func(w *world) {
				w.external("10.96.0.8", func(e *v1alpha1.ExternalService) { e.Spec.Endpoints[0].Address = "MyDB.com" })
			},
			"external names", Warning, "leads mydb.com to the proxies, which look it up as an endpoint's address, and find themselves",
		},
		"an ExternalService that is not used": {
			func(w *world) {
				w.external("10.96.0.8", func(e *v1alpha1.ExternalService) {
					c := metav1.Condition{Type: v1alpha1.ExternalAccepted, Status: metav1.ConditionFalse, Message: "another name."}
					e.Status.Conditions = []metav1.Condition{c}
				})
			},
			"external names", Warning, "ExternalService shop/mydb is not in use: another name.",
		},
		"an ExternalService without an address": {
			func(w *world) { w.external("", func(e *v1alpha1.ExternalService) { e.Status.Addresses = nil }) },
			"external names", Warning, "has no address yet",
		},
		"no such name": {func(w *world) { w.address = "" }, "lookup", Warning, "no such name"},
		"no DNS pod": {
			func(w *world) { w.server.Remove("/v1/pods", dnsNamespace, "coredns-1") },
			"lookup", Warning, "no DNS pod is ready",
		},
		"wrong address": {
			func(w *world) { w.address = "10.96.0.9" },
			"lookup", Failed, "to 10.96.0.9, its ServiceImport has 10.96.0.7",
		},
		"ipvs": {
			func(w *world) { w.config("kube-system", "kube-proxy", "config.conf", "mode: ipvs\n") },
			"kube-proxy", Warning, `"ipvs"`,
		},
		"bypassed": {
			func(w *world) { w.agent.Datapath.Bypassed = "answered by nobody" },
			packetCheck, Failed, "nftables is bypassed on node-1: answered by nobody",
		},
		"packet check late": {
			func(w *world) { w.agent.Datapath.Undecided = "no answer in 2s" },
			packetCheck, Warning, "on node-1 has no result: no answer in 2s",
		},
		"not checked": {
			func(w *world) { w.agent.Datapath.Checked = false },
			packetCheck, Skipped, "not checked on node-1 and node-2",
		},
		"agent waits": {
			func(w *world) { w.unready("eastway-node-1") },
			"node agents", Failed, "the agent on node-1: the pod 0/2 nodes",
		},
		"tables broken": {
			func(w *world) { w.agent.Error = "operation not permitted" },
			"node agents", Failed, "operation not permitted",
		},
		"agent without a certificate": {
			func(w *world) { w.agent.Unproven = "there is no certificate yet" },
			"node agents", Warning, "the agent on node-2 cannot prove to proxies what it is: there is no certificate yet",
		},
		"not taken over": {
			func(w *world) { w.agent.Services[0].Refused = "it is headless" },
			"taken-over Services", Warning, "shop/cart: it is headless (on node-1 and node-2)",
		},
		"import not led": {
			func(w *world) {
				w.agent.Services = append(w.agent.Services, report.ServiceStatus{
					Service: ns + "/ew-cart-import-x", Carries: "shop/cart",
					Ports: []report.PortStatus{{Port: "80/TCP", Reason: "no proxy is alive"}},
				})
			},
			"taken-over Services", Warning, "import shop/cart: 80/TCP: no proxy is alive (on node-1 and node-2): kube-proxy serves it",
		},
		"kube-proxy not known": {
			func(w *world) { w.server.Remove("/v1/configmaps", "kube-system", "kube-proxy") },
			"kube-proxy", Skipped, "see '" + packetCheck + "' below",
		},
		"agents not wanted": {
			func(w *world) { w.removeAgents() },
			"node agents", Warning, "no Service can be taken over",
		},
		"agents do not start": {
			func(w *world) {
				w.removeAgents()
				w.server.Add(w.daemonSet())
			},
			"node agents", Warning, "DaemonSet eastway-node has no pods",
		},
		"no port-forward": {func(w *world) {
			w.server.Forbid("get", "pods/portforward")
			w.server.Forbid("create", "pods/portforward")
		}, "versions", Skipped, "pods/portforward"},
		"no manifest": {func(w *world) { w.server.Forbid("get", "configmaps") }, "own manifest", Skipped, "configmaps"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.spoil(w)
			results, _ := w.check(Options{})
			for _, r := range results {
				if r.Check == c.check && r.Level == c.level && strings.Contains(r.Message, c.message) {
					if r.Hint == "" && r.Level == Failed && name != "tables broken" && name != "no peers" {
						t.Errorf("%s fails without a hint", r.Check)
					}
					return
				}
			}
			t.Errorf("%s: no %s with %q in\n%s", c.check, c.level, c.message, text(results))
		})
	}
}

// Of a CA that is gone the hint has both ways, as commands.
func TestLostCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Remove("/v1/secrets", ns, release+"-ca")
	results, _ := w.check(Options{})
	for _, words := range []string{
		"restore it from a backup at once", "kubectl -n eastway-system delete secret/eastway-svid configmap/eastway-cluster", "eastway peer link",
	} {
		if !strings.Contains(text(results), words) {
			t.Errorf("no %q in\n%s", words, text(results))
		}
	}
}

func (w *world) unready(pod string) {
	component := strings.Split(pod, "-")[1]
	p := w.server.AddPod(ns, pod, release, component, "node-"+pod[len(pod)-1:])
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "0/2 nodes are available"}}
	w.server.Add(p)
}

func disconnected(p *v1alpha1.Peer) {
	p.Status.LastError = "dial b: i/o timeout"
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == v1alpha1.PeerConnected {
			p.Status.Conditions[i].Status = metav1.ConditionFalse
		}
	}
}

func (w *world) lanes(transport, cc string) {
	w.status.Peers[0].Links[0].Lanes = []status.Lane{{Transport: transport, CongestionControl: cc}}
}

// The API server not answering ends it: nothing else could be said.
func TestVitalCheckEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.URL = "http://127.99.0.4:9"
	if results, counts := w.check(Options{}); len(results) != 1 || counts[Failed] != 1 {
		t.Errorf("%s", text(results))
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	if got, err := ParseTarget("shop/cart:80"); err != nil || *got != (Target{"shop", "cart", 80}) || got.String() != "shop/cart:80" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range []string{"", "cart:80", "shop/cart", "shop/cart:0", "shop/cart:x", "a/b/c:1", "/c:1", "a/:1", "a/b:70000"} {
		if _, err := ParseTarget(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestCorefile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, lines, wrong string }{
		{".:53 {\n kubernetes cluster.local clusterset.local {\n  multicluster clusterset.local\n }\n}", "", ""},
		{
			"# kubernetes x clusterset.local {\n.:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n }\n}",
			`"kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {", and below it the line "multicluster clusterset.local"`,
			"zone is missing",
		},
		{
			"kubernetes cluster.local clusterset.local {\n # multicluster clusterset.local\n}",
			`"kubernetes cluster.local clusterset.local {", and below it the line "multicluster clusterset.local"`,
			`the line "multicluster clusterset.local" is missing`,
		},
		{
			"", `"kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {", and below it the line "multicluster clusterset.local"`,
			"no kubernetes block",
		},
	} {
		lines, wrong := corefile(c.text)
		if lines != c.lines || !strings.Contains(wrong, c.wrong) || (wrong == "") != (c.wrong == "") {
			t.Errorf("%q: %q, %q", c.text, lines, wrong)
		}
	}
}

func TestRunStopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ran := 0
	check := Check{Run: func(context.Context) []Result { ran++; cancel(); return one(ok("x")) }}
	if Run(ctx, []Check{check, check}, func(Result) {}); ran != 1 {
		t.Errorf("%d checks ran", ran)
	}
}

func TestTroubleOf(t *testing.T) {
	t.Parallel()
	s := &report.ServiceStatus{Ports: []report.PortStatus{{Port: "53/UDP", Reason: "only TCP"}, {Port: "80/TCP"}}}
	if got := problemOf(s); got != "" {
		t.Errorf("UDP counts: %q", got)
	}
	s.Ports[1].Reason = "no proxy is alive"
	if got := problemOf(s); got != "80/TCP: no proxy is alive" {
		t.Errorf("%q", got)
	}
}

// What one missing right keeps from being looked at is told once.
func TestSkippedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.Forbid("list", "pods")
	results, counts := w.check(Options{})
	told := 0
	for _, r := range results {
		if strings.Contains(r.Message, "find the proxy pods: not permitted") {
			told++
		}
		if r.Level == Skipped && (r.Hint != "" || !strings.HasPrefix(r.Message, r.Check+": ")) {
			t.Errorf("%+v", r)
		}
	}
	if told != 1 || counts[Skipped] < 8 || counts[Failed] > 0 {
		t.Errorf("told %d times, %v:\n%s", told, counts, text(results))
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"shop/cart:80", "a/b:65536", "::", "/:1", "a/b/c:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s)
		if err != nil {
			return
		}
		if again, err := ParseTarget(target.String()); err != nil || *again != *target {
			t.Fatalf("%q became %q", s, target)
		}
	})
}

func FuzzCorefile(f *testing.F) {
	f.Add(".:53 {\n kubernetes cluster.local {\n  multicluster clusterset.local\n }\n}")
	f.Add("kubernetes")
	f.Add("kubernetes {\n#\nmulticluster")
	f.Fuzz(func(t *testing.T, s string) {
		lines, wrong := corefile(s)
		if (lines == "") != (wrong == "") || strings.Contains(lines, "\n") {
			t.Fatalf("%q, %q", lines, wrong)
		}
	})
}

// The line that leads a host to the proxies names the cluster's own domain.
func TestExternalNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.external("10.96.0.8", nil)
	results, _ := w.check(Options{})
	if got := text(results); !strings.Contains(got, "external names | ok | DNS pod coredns-1 leads 1 host of ExternalServices to the proxies") {
		t.Error(got)
	}
	w = newWorld(t)
	w.corefile("kubernetes clusterset.local our.test. in-addr.arpa {\n  multicluster clusterset.local\n}")
	w.external("198.51.100.7", nil)
	results, _ = w.check(Options{})
	const line = "rewrite name exact mydb.com ew-mydb-external-abc.eastway-system.svc.our.test answer auto"
	if got := text(results); !strings.Contains(got, line) {
		t.Error(got)
	}
	if got := clusterDomain("kubernetes {", "cluster.local"); got != "cluster.local" {
		t.Errorf("without a zone: %s", got)
	}
}
