package drills

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/apps/chain"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

func TestMain(m *testing.M) {
	if os.Getenv(keepVariable) != "" { // clusters that stay have goroutines that wait for them
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// openVariable, when set, adds the drills that have not been seen to pass since proxies hold a link to each replica of a peer
// behind a load balancer: before that they lost all their calls when the one went that they had met.
const openVariable = "E2E_OPEN"

// TestDrills runs all drills on one pair of clusters, one after the other: each
// leaves them as healthy as it found them.
func TestDrills(t *testing.T) {
	w := newWorld(t)
	if !t.Run("first call", func(t *testing.T) { firstCall(w, t) }) {
		t.FailNow() // nothing else would make sense
	}
	for _, c := range w.clusters {
		if err := c.awaitDeployments(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	type drill struct {
		name string
		run  func(*world, *testing.T)
	}
	drills := []drill{{"service failure", serviceFails}}
	if os.Getenv(openVariable) != "" {
		drills = append(drills, drill{"proxy killed", proxyKilled}, drill{"API server away", withoutAPIServer}, drill{"replaced", replaced})
	}
	for _, drill := range drills {
		t.Run(drill.name, func(t *testing.T) { drill.run(w, t) })
	}
}

// firstCall installs Eastway and calls a service of the other cluster, by what
// a user types.
func firstCall(w *world, t *testing.T) {
	ctx := t.Context()
	t.Cleanup(func() {
		if t.Failed() {
			w.explain(t)
		}
	})
	for _, c := range w.clusters {
		if err := w.cleanUp(ctx, c); err != nil { // of an earlier run on clusters that were kept
			t.Fatal(err)
		}
		if err := c.Cluster.Apply(ctx, []byte("{apiVersion: v1, kind: Namespace, metadata: {name: "+namespace+"}}")); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := w.All(func(c *lab.Cluster) error { return w.Install(ctx, c, drainTime) }); err != nil {
		t.Fatal(err)
	}
	installed := time.Since(began)
	if err := w.Link(ctx); err != nil {
		t.Fatal(err)
	}
	linked := time.Since(began)
	for _, c := range w.clusters { // the applications are the user's own, with an export of each
		if err := w.deploy(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.callBothWays(ctx); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(progress(t), "helm install to first call: %.1fs (installed after %.1fs, linked after %.1fs), %d commands for two clusters\n",
		time.Since(began).Seconds(), installed.Seconds(), linked.Seconds(), w.Commands()+2) // and kubectl apply, curl
}

// callBothWays returns when a pod of each cluster has got an answer from the other.
func (w *world) callBothWays(ctx context.Context) error {
	for i, c := range w.clusters {
		url := "http://" + w.clusters[1-i].soloHost() + ":8000/"
		err := lab.Await(ctx, c.Name+" to call "+url, patience, func(ctx context.Context) error {
			var out strings.Builder
			command := c.Kubectl(ctx, "-n", namespace, "exec", "deployment/load-"+c.Zones[0], "--", "/mock", "ask", url)
			command.Stdout, command.Stderr = &out, &out
			if err := command.Run(); err != nil {
				return fmt.Errorf("%w: %s", err, &out)
			}
			if got := chain.Names(chain.Parse(out.String())); got != w.clusters[1-i].solo() {
				return fmt.Errorf("%q answered", &out)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// cleanUp what an earlier run has left in clusters that were kept.
func (w *world) cleanUp(ctx context.Context, c *cluster) error {
	if err := c.Get(ctx, client.ObjectKey{Name: install.Namespace}, &corev1.Namespace{}); apierrors.IsNotFound(err) {
		return nil
	}
	_ = w.Uninstall(ctx, c.Cluster) // it may never have been complete
	commands := []*exec.Cmd{
		c.Kubectl(ctx, "delete", "peers.eastway.dev", "--all", "--ignore-not-found"),
		c.Kubectl(ctx, "delete", "namespace", "--ignore-not-found", install.Namespace, namespace),
	}
	for _, command := range commands {
		if out, err := command.CombinedOutput(); err != nil && !strings.Contains(string(out), "the server doesn't have a resource type") {
			return fmt.Errorf("clean up %s: %w: %s", c.Name, err, out)
		}
	}
	return lab.Await(ctx, "the namespaces to be gone", patience, func(ctx context.Context) error {
		for _, name := range []string{install.Namespace, namespace} {
			one := metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
			if err := c.Get(ctx, client.ObjectKey{Name: name}, &one); !apierrors.IsNotFound(err) {
				return fmt.Errorf("namespace %s is still there (%w)", name, err)
			}
		}
		return nil
	})
}
