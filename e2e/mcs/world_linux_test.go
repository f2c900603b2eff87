package mcs

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/need"
)

const (
	helloImage = "docker.io/eastway-test/hello:e2e"
	helloPort  = 4242
	// replicas of the pods behind most services in each cluster: two in each zone.
	replicas = 4
	// setName is of the StatefulSet, and of the only Service that gives its pods hostnames.
	setName = "set"
)

const (
	// patience for what takes a second on a quiet computer.
	patience = time.Minute
	// endPatience for what runs after a test that may have run out of time.
	endPatience = time.Minute
)

// keepVariable names clusters that stay, and are used again.
const keepVariable = "E2E_KEEP"

func TestMain(m *testing.M) {
	if os.Getenv(keepVariable) != "" { // clusters that stay have goroutines that wait for them
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// world is two clusters that are linked, with pods to call.
type world struct {
	*install.Installer
	lab *lab.Lab
	// namespace of all that the checks make. They share its pods, and have services of their own.
	namespace string
	// first exports in all checks; second is another cluster.
	first, second *cluster

	mu    sync.Mutex
	named int
}

type cluster struct {
	*lab.Cluster
	client.Client
	imports *journal
}

func (w *world) both() []*cluster { return []*cluster{w.first, w.second} }

// newWorld brings all of it up.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(lab.UserVariable) != "" {
		need.Program(t, "kubectl", "kubernetes-client")
	} else {
		need.Support(t, lab.Supported())
	}
	ctx := t.Context()
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "mcs"))
	must(t, err)
	w := &world{namespace: fmt.Sprintf("conformance-%x", time.Now().Unix())}
	kept := w.bringUp(t)
	config := install.Config{Lab: w.lab, Dir: dir, Progress: os.Stderr}
	w.Installer = install.Installed(config)
	installed := false
	t.Cleanup(func() {
		if installed && w.lab.Users() {
			w.remove(t)
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			w.explain(t)
		}
	})
	if !kept {
		installer, err := install.New(ctx, config)
		if err = errors.Join(err, w.loadHello(ctx, dir)); errors.Is(err, lab.ErrNotLoaded) {
			need.Missing(t, err.Error())
		}
		must(t, err)
		w.Installer, installed = installer, true
		must(t, w.All(func(c *lab.Cluster) error { return w.Install(ctx, c) }))
		must(t, w.Link(ctx))
	}
	must(t, w.AwaitConnected(ctx))
	for _, c := range w.lab.Clusters {
		must(t, w.deploy(ctx, c))
	}
	w.first, w.second = w.join(t, w.lab.Clusters[0]), w.join(t, w.lab.Clusters[1])
	for _, c := range w.both() {
		must(t, w.awaitPods(ctx, c))
	}
	return w
}

// bringUp the clusters, or find those that were kept.
func (w *world) bringUp(t *testing.T) (kept bool) {
	t.Helper()
	ctx := t.Context()
	name := os.Getenv(keepVariable)
	if name != "" {
		if found, err := lab.Open(name); err == nil {
			w.lab = found
			return true
		}
	}
	config := lab.Config{Name: name, Progress: os.Stderr}
	if name == "" {
		config.Name = "mcs"
	}
	var err error
	w.lab, err = lab.ForTest(ctx, config)
	must(t, err)
	if name == "" {
		t.Cleanup(func() { w.takeDown(t) })
	}
	return false
}

// remove what the test has brought into clusters of the user's own, but for the CRDs.
func (w *world) remove(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	must(t, w.All(func(c *lab.Cluster) error {
		errs := []error{w.Uninstall(ctx, c)}
		peers := []string{"peers.eastway.dev", w.lab.Clusters[0].Name, w.lab.Clusters[1].Name}
		for _, what := range [][]string{{"namespace", install.Namespace, w.namespace}, peers} {
			out, err := c.Kubectl(ctx, append([]string{"delete", "--ignore-not-found"}, what...)...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("delete %v in %s: %w: %s", what, c.Name, err, out)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}))
}

// takeDown the clusters, and what is left of connections to them: their ends may never have heard of that.
func (w *world) takeDown(t *testing.T) {
	var transports []http.RoundTripper
	for _, c := range w.lab.Clusters {
		config, err := c.RESTConfig()
		must(t, err)
		made, err := rest.TransportFor(config) // the one that all clients of the cluster share
		must(t, err)
		transports = append(transports, made)
	}
	err := w.lab.Down(context.WithoutCancel(t.Context()))
	for _, made := range transports {
		utilnet.CloseIdleConnectionsFor(made)
	}
	must(t, err)
}

// loadHello builds the pods' image and gives it to all nodes.
func (w *world) loadHello(ctx context.Context, dir string) error {
	_, archive, err := lab.BuildImage(ctx, dir, "e2e/mcs/hello", helloImage)
	if err != nil {
		return err
	}
	return w.lab.LoadImage(ctx, archive)
}

//go:embed manifests
var manifests embed.FS

// deploy the pods.
func (w *world) deploy(ctx context.Context, c *lab.Cluster) error {
	t, err := template.ParseFS(manifests, "manifests/hello.yaml")
	if err != nil {
		return err
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{
		"Namespace": w.namespace, "Cluster": c.Name, "Image": helloImage, "Replicas": replicas, "Set": setName,
		"Spread": map[bool]string{true: "ScheduleAnyway", false: "DoNotSchedule"}[w.lab.Users()],
	})
	if err != nil {
		return err
	}
	return c.Apply(ctx, []byte(text.String()))
}

// join a cluster to the world: its imports are followed from now on.
func (w *world) join(t *testing.T, c *lab.Cluster) *cluster {
	t.Helper()
	known, err := install.Client(c)
	must(t, err)
	config, err := c.RESTConfig()
	must(t, err)
	config.WarningHandler = rest.NoWarnings{} // of what the suite's own Services have
	config.QPS = -1                           // no limit: its errors would hide what is waited for
	objects, err := client.NewWithWatch(config, client.Options{Scheme: known.Scheme()})
	must(t, err)
	return &cluster{Cluster: c, Client: objects, imports: follow(t, objects, w.namespace)}
}

// awaitPods returns when all pods are ready.
func (w *world) awaitPods(ctx context.Context, c *cluster) error {
	const all = replicas + 2 + 1 // the Deployment's, the StatefulSet's, and the one that calls
	return lab.Await(ctx, "the pods of "+c.Name, 2*patience, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		ready := 0
		for i := range pods.Items {
			for _, condition := range pods.Items[i].Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		if ready != all {
			return fmt.Errorf("%d of %d are ready", ready, all)
		}
		return nil
	})
}

// explain what the clusters were like when a test failed.
func (w *world) explain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), endPatience)
	defer cancel()
	w.Diagnose(ctx, t.Name())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
