package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Names other than those that anything has by default: one that is written out
// somewhere is noticed.
const (
	otherRelease   = "east-gate"
	otherNamespace = "crossing"
)

// The service that is exported and taken over: the cluster's own DNS, which
// answers HTTP as well, so that no image has to be built. Its own namespace is never imported.
const (
	service          = "names"
	serviceNamespace = "default"
	serviceManifest  = `{apiVersion: v1, kind: Service, metadata: {name: names, namespace: default},
 spec: {ports: [{name: http, port: 80, targetPort: 9153}]}}`
	endpointsManifest = `{apiVersion: v1, kind: Endpoints, metadata: {name: names, namespace: default},
 subsets: [{addresses: [{ip: "%s"}], ports: [{name: http, port: 9153}]}]}`
)

// patience for what takes a few seconds on a quiet computer.
const patience = 90 * time.Second

// removal is one cluster whose installation comes and goes.
type removal struct {
	*lab.Cluster
	objects    client.Client
	i          *Installer
	peer       string
	before     inventory
	containers []string
}

// TestRemoval installs, links, exports and takes over in two clusters, removes
// it all by what the README says, and looks for what is left after each step.
func TestRemoval(t *testing.T) {
	i := newInstaller(t)
	ctx := t.Context()
	clusters := map[string]*removal{}
	for n, c := range i.Lab.Clusters {
		objects, err := Client(c)
		if err != nil {
			t.Fatal(err)
		}
		clusters[c.Name] = &removal{Cluster: c, objects: objects, i: i, peer: i.Lab.Clusters[1-n].Name}
	}
	step := func(name string, do func(r *removal, ctx context.Context) error) {
		began := time.Now()
		if err := i.All(func(c *lab.Cluster) error { return do(clusters[c.Name], ctx) }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %.1fs", name, time.Since(began).Seconds())
	}
	step("look at what is there", (*removal).look)
	step("install", (*removal).install)
	if err := i.Link(ctx); err != nil {
		t.Fatal(err)
	}
	step("export", (*removal).export)
	step("take over", (*removal).takeOver)
	step("look at what was made", (*removal).awaitMade)
	step("check", (*removal).check)
	step("helm uninstall", (*removal).uninstall)
	// With the CA that stayed they are the same clusters to each other; what was left of the old owner must not matter.
	step("install again", (*removal).install)
	step("look at what was made again", (*removal).awaitMade)
	step("helm uninstall again", (*removal).uninstall)
	step("remove the rest", (*removal).removeRest)
}

func newInstaller(t *testing.T) *Installer {
	t.Helper()
	if os.Getenv(lab.UserVariable) != "" {
		need.Missing(t, "unset "+lab.UserVariable+": the image can only be loaded into clusters of the test's own")
	}
	need.Support(t, lab.Supported())
	ctx := t.Context()
	clusters, err := lab.ForTest(ctx, lab.Config{Name: "install", Nodes: 1, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clusters.Down(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "install"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(ctx, Config{Lab: clusters, Dir: dir, Release: otherRelease, Namespace: otherNamespace, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			i.Diagnose(context.WithoutCancel(ctx), t.Name())
		}
	})
	return i
}

// look at what the user had before.
func (r *removal) look(ctx context.Context) error {
	var dns corev1.PodList
	if err := r.objects.List(ctx, &dns, client.InNamespace("kube-system"), client.MatchingLabels{"k8s-app": "kube-dns"}); err != nil {
		return err
	}
	if len(dns.Items) == 0 {
		return errors.New("the cluster has no DNS pods")
	}
	for _, manifest := range []string{serviceManifest, fmt.Sprintf(endpointsManifest, dns.Items[0].Status.PodIP)} {
		if err := r.Apply(ctx, []byte(manifest)); err != nil {
			return err
		}
	}
	return lab.Await(ctx, "the user's Service to have endpoints", patience, func(ctx context.Context) (err error) {
		r.before, err = takeInventory(ctx, r.Cluster)
		for _, start := range []string{"endpoints ", "endpointslices.discovery.k8s.io "} {
			if err == nil && r.before.count(start+serviceNamespace+"/"+service) == 0 {
				err = fmt.Errorf("it has no %s", start)
			}
		}
		return err
	})
}

func (r *removal) install(ctx context.Context) error {
	return r.i.Install(ctx, r.Cluster, "proxy.drain.delaySeconds=1", "proxy.drain.timeoutSeconds=5")
}

// eastway about the service, or about the installation.
func (r *removal) eastway(ctx context.Context, args ...string) error {
	_, err := r.i.Eastway(ctx, append(args, "--release", otherRelease, "--context", r.Name)...)
	return err
}

func (r *removal) export(ctx context.Context) error {
	return r.eastway(ctx, "export", service, "-n", serviceNamespace, "--eastway-namespace", otherNamespace)
}

func (r *removal) takeOver(ctx context.Context) error {
	return r.eastway(ctx, "takeover", service, "-n", serviceNamespace, "--eastway-namespace", otherNamespace)
}

// check from outside, and from inside by helm.
func (r *removal) check(ctx context.Context) error {
	if err := r.eastway(ctx, "check", "-n", otherNamespace, "--call", serviceNamespace+"/"+service+":80"); err != nil {
		return err
	}
	_, err := r.i.Helm(ctx, r.Cluster, "test", otherRelease, "--namespace", otherNamespace, "--timeout", helmTime)
	return err
}

// awaitMade returns when everything is there whose absence shall mean
// something later, and also what only a peer that trusts this cluster tells.
func (r *removal) awaitMade(ctx context.Context) error {
	return lab.Await(ctx, "everything to be made", patience, r.made)
}

func (r *removal) made(ctx context.Context) error {
	now, err := takeInventory(ctx, r.Cluster)
	if err != nil {
		return err
	}
	var missing []error
	for start, want := range map[string]int{
		"services " + otherNamespace + "/ew-" + service + "-import-":                         1,
		"services " + otherNamespace + "/ew-" + service + "-takeover-":                       1,
		"serviceimports.multicluster.x-k8s.io " + serviceNamespace + "/" + service:           1,
		"endpointslices.discovery.k8s.io " + serviceNamespace + "/" + service + "-imported-": 2, // of this cluster and of the peer
		"secrets " + otherNamespace + "/" + otherRelease + "-svid":                           1,
		"secrets " + otherNamespace + "/" + otherRelease + "-node-svid":                      1,
		"configmaps " + otherNamespace + "/" + otherRelease + "-cluster":                     1,
		"leases.coordination.k8s.io " + otherNamespace + "/" + otherRelease + "-controller":  1,
	} {
		if n := now.count(start); n != want {
			missing = append(missing, fmt.Errorf("%d instead of %d %s", n, want, start))
		}
	}
	if r.containers, err = containersOf(ctx, r.objects, otherNamespace); err != nil {
		return err
	}
	processes, err := processesOf(r.containers)
	if err != nil {
		return err
	}
	if len(processes) == 0 || len(processes) < len(r.containers) {
		missing = append(missing, fmt.Errorf("%d containers have the processes %q", len(r.containers), processes))
	}
	for _, n := range r.Nodes {
		tables, err := tablesOf(ctx, n)
		if err != nil {
			return err
		}
		if len(tables) == 0 {
			missing = append(missing, fmt.Errorf("%s has no table", n.Name))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w; there is %q", errors.Join(missing...), now.beyond(r.before))
	}
	return nil
}

// rests are what the README says that `helm uninstall` leaves.
func (r *removal) rests() []string {
	all := []string{
		"namespaces /" + otherNamespace,
		// Kubernetes gives every namespace these two.
		"configmaps " + otherNamespace + "/kube-root-ca.crt", "serviceaccounts " + otherNamespace + "/default",
		"secrets " + otherNamespace + "/" + otherRelease + "-ca",
		"peers.eastway.dev /" + r.peer,
		"serviceexports.multicluster.x-k8s.io " + serviceNamespace + "/" + service,
		"customresourcedefinitions.apiextensions.k8s.io /externalservices.eastway.dev",
		"customresourcedefinitions.apiextensions.k8s.io /peers.eastway.dev",
		"customresourcedefinitions.apiextensions.k8s.io /trafficpolicies.eastway.dev",
		"apiservices.apiregistration.k8s.io /v1alpha1.eastway.dev",
	}
	slices.Sort(all)
	return all
}

func (r *removal) uninstall(ctx context.Context) error {
	if err := r.i.Uninstall(ctx, r.Cluster); err != nil {
		return err
	}
	return r.awaitOnly(ctx, r.rests())
}

// awaitOnly returns when the cluster has these objects more than before, no
// process and no table. Kubernetes removes what has no owner by and by.
func (r *removal) awaitOnly(ctx context.Context, rests []string) error {
	return lab.Await(ctx, r.Name+" to be as it was", patience, func(ctx context.Context) error {
		now, err := takeInventory(ctx, r.Cluster)
		if err != nil {
			return err
		}
		var wrong []error
		if more := now.beyond(r.before); !slices.Equal(more, rests) {
			wrong = append(wrong, fmt.Errorf("there is %q, want %q", more, rests))
		}
		if less := r.before.beyond(now); len(rests) > 0 && len(less) > 0 {
			wrong = append(wrong, fmt.Errorf("%q is missing", less))
		}
		none := func(what string, found []string, err error) {
			if len(found) > 0 {
				err = fmt.Errorf("there are %s: %q", what, found)
			}
			wrong = append(wrong, err)
		}
		processes, err := processesOf(r.containers)
		none("processes", processes, err)
		for _, n := range r.Nodes {
			tables, err := tablesOf(ctx, n)
			none("tables", tables, err)
		}
		return errors.Join(wrong...)
	})
}

// removeRest by the commands of the READMEs.
func (r *removal) removeRest(ctx context.Context) error {
	for _, args := range [][]string{
		{"delete", "namespace", otherNamespace},
		{"annotate", "services", "-A", "--all", v1alpha1.TakeoverAnnotation + "-"},
		{"delete", "-f", filepath.Join(r.i.root, chart, "crds")},
	} {
		if out, err := r.Kubectl(ctx, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	var s corev1.Service
	if err := r.objects.Get(ctx, client.ObjectKey{Namespace: serviceNamespace, Name: service}, &s); err != nil {
		return err
	}
	if value, still := s.Annotations[v1alpha1.TakeoverAnnotation]; still {
		return fmt.Errorf("the Service is still annotated with %q", value)
	}
	return r.awaitOnly(ctx, nil)
}
