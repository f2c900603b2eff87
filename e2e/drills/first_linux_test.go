package drills

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// maxCommands lead to the first call between two clusters.
const maxCommands = 5

// firstCall runs the README's commands: those that lead to the first call, and then a call by an application.
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
	}
	if err := w.lab.Sample(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.makeOutside(ctx, w.home()); err != nil {
		t.Fatal(err)
	}
	for i, c := range w.clusters {
		app := []string{"deployment/client", "deployment/shop"}[i]
		if out, err := c.Kubectl(ctx, "rollout", "status", app, "--timeout=2m").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", app, err, out)
		}
	}
	commands := shellBlock(t, "README.md", firstCallCommands)
	if len(commands) > maxCommands {
		t.Errorf("the README needs %d commands for the first call, more than %d", len(commands), maxCommands)
	}
	began := time.Now()
	var answer string
	for _, line := range commands {
		if helm, values, found := strings.Cut(line, " charts/eastway "); found { // the image of this checkout, and what the drills need
			line = helm + " charts/eastway --set image.tag=" + install.Tag + "," + drainTime + "," + credentials + " " + values
		}
		var err error
		if answer, err = w.Shell(ctx, line); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(progress(t), "%.1fs\n", time.Since(began).Seconds())
	}
	if !strings.Contains(answer, "200 OK") {
		t.Errorf("the first call printed %q, not the answer of shop", answer)
	}
	fmt.Fprintf(progress(t), "helm install to first call: %.1fs, %d commands\n", time.Since(began).Seconds(), len(commands))
	for _, line := range shellBlock(t, "README.md", callByName) {
		var err error
		if answer, err = w.Shell(ctx, line); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.HasPrefix(answer, "hello from shop-") {
		t.Errorf("the client printed %q, not the answer of shop", answer)
	}
}

// removed runs the commands of docs/remove.md: nothing of the first cluster's installation is left.
func removed(w *world, t *testing.T) {
	ctx := t.Context()
	for _, line := range shellBlock(t, "docs/remove.md", removeCommands) {
		if _, err := w.Shell(ctx, line); err != nil {
			t.Fatal(err)
		}
	}
	one := w.clusters[0]
	if err := one.Get(ctx, client.ObjectKey{Name: install.Namespace}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is still there (%v)", err)
	}
	for _, resource := range []string{"peers.eastway.dev", "serviceimports.multicluster.x-k8s.io"} {
		if out, err := one.Kubectl(ctx, "get", resource, "-A").CombinedOutput(); err == nil {
			t.Errorf("%s are still served: %s", resource, out)
		}
	}
	if out, err := w.Shell(ctx, "eastway peer list --context "+w.clusters[1].Name); err != nil || strings.Contains(out, one.Name) {
		t.Errorf("the other cluster's peers: %v\n%s", err, out)
	}
}

// cleanUp what an earlier run has left in clusters that were kept.
func (w *world) cleanUp(ctx context.Context, c *cluster) error {
	if err := c.Get(ctx, client.ObjectKey{Name: install.Namespace}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		_ = w.Uninstall(ctx, c.Cluster) // it may never have been complete
	}
	commands := []*exec.Cmd{
		c.Kubectl(ctx, "delete", "peers.eastway.dev", "--all", "--ignore-not-found"),
		c.Kubectl(ctx, "delete", "serviceexports.multicluster.x-k8s.io", "--all", "--all-namespaces", "--ignore-not-found"),
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
