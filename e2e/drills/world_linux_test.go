package drills

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"text/template"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/need"
)

// Of the applications in manifests/.
const (
	namespace = "drills"
	mockImage = "docker.io/eastway-test/mock:e2e"
	chainURL  = "http://mocka:8000/"
	// homeRegion begins the zones of cluster-1.
	homeRegion = "cn-hangzhou"
)

const (
	// patience for what takes seconds on a quiet computer.
	patience = 2 * time.Minute
	// endPatience for what runs after a test that may have run out of time.
	endPatience = time.Minute
)

// keepVariable has the name of clusters that are kept for the next run.
const keepVariable = "E2E_KEEP"

// name of the clusters, and of the folder below bin/e2e.
func name() string { return cmp.Or(os.Getenv(keepVariable), "drills") }

// world is clusters with Eastway and the drills' applications.
type world struct {
	*install.Installer
	lab      *lab.Lab
	dir      string // for reports and diagnoses
	mock     string // the program
	clusters []*cluster
}

type cluster struct {
	*lab.Cluster
	site *site
	client.Client
}

func (w *world) home() *cluster { return w.clusters[0] }
func (w *world) away() *cluster { return w.clusters[1] }

// begin a drill here.
func (w *world) begin(t *testing.T, name string, p plan) *drill {
	t.Helper()
	return begin(w, t, name, p)
}

// progress shows what is going on as it happens: bringing clusters up takes a while.
func progress(t *testing.T) *os.File {
	t.Helper()
	return os.Stderr
}

// newWorld brings up clusters, without Eastway.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(lab.UserVariable) != "" {
		need.Missing(t, "unset "+lab.UserVariable+": what the drills break, they break in clusters of their own")
	}
	need.Support(t, lab.Supported())
	ctx := t.Context()
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", name()))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: dir}
	if w.lab, err = bringUp(ctx, progress(t)); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(keepVariable) == "" {
		t.Cleanup(func() {
			if err := w.lab.Down(context.WithoutCancel(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	if w.Installer, err = install.New(ctx, install.Config{Lab: w.lab, Dir: dir, Progress: progress(t)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.lab.Clusters {
		objects, err := install.Client(c)
		if err != nil {
			t.Fatal(err)
		}
		w.clusters = append(w.clusters, &cluster{Cluster: c, Client: objects, site: &site{c.Name, c.Region, c.Zones, longStreams}})
	}
	if err := w.loadMock(ctx); err != nil {
		t.Fatal(err)
	}
	return w
}

func bringUp(ctx context.Context, out *os.File) (*lab.Lab, error) {
	config := lab.Config{Name: name(), Progress: out}
	if os.Getenv(keepVariable) != "" {
		if l, err := lab.Open(config.Name); err == nil {
			return l, nil
		}
	}
	return lab.ForTest(ctx, config)
}

// loadMock builds the applications' image and gives it to all nodes.
func (w *world) loadMock(ctx context.Context) error {
	program, archive, err := lab.BuildImage(ctx, w.dir, "e2e/apps/mock", mockImage)
	if err != nil {
		return err
	}
	w.mock = program
	return w.lab.LoadImage(ctx, archive)
}

// call a URL once from a zone's load pod.
func (c *cluster) call(ctx context.Context, zone, url string) (string, error) {
	out, err := c.Kubectl(ctx, "-n", namespace, "exec", "deployment/load-"+zone, "--", "/mock", "ask", url).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("call %s from %s: %w: %s", url, zone, err, out)
	}
	return string(out), nil
}

//go:embed manifests
var manifests embed.FS

// render a template of manifests/ with values.
func render(name string, values map[string]any) ([]byte, error) {
	t, err := template.ParseFS(manifests, "manifests/"+name)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, values)
	return text.Bytes(), err
}

// awaitDeployments returns when all deployments of the applications are as they
// should be, and nothing is left of what they were.
func (c *cluster) awaitDeployments(ctx context.Context) error {
	return lab.Await(ctx, "the applications of "+c.Name, patience, func(ctx context.Context) error {
		var all appsv1.DeploymentList
		var pods corev1.PodList
		if err := errors.Join(c.List(ctx, &all, client.InNamespace(namespace)), c.List(ctx, &pods, client.InNamespace(namespace))); err != nil {
			return err
		}
		want := 0
		for i := range all.Items {
			d := &all.Items[i]
			want += int(*d.Spec.Replicas)
			if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < *d.Spec.Replicas ||
				d.Status.AvailableReplicas < *d.Spec.Replicas {
				return fmt.Errorf("%s has %d of %d pods available", d.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
			}
		}
		if len(all.Items) == 0 || len(pods.Items) != want {
			return fmt.Errorf("there are %d pods instead of %d", len(pods.Items), want)
		}
		return nil
	})
}

// pods of an application, "" for all, that run.
func (c *cluster) pods(ctx context.Context, mock, app string) ([]place, error) {
	var all corev1.PodList
	var selector client.MatchingLabels
	if app != "" {
		selector = client.MatchingLabels{"app": app}
	}
	if err := c.List(ctx, &all, client.InNamespace(namespace), selector); err != nil {
		return nil, err
	}
	var places []place
	for i := range all.Items {
		p := &all.Items[i]
		n := slices.IndexFunc(c.Nodes, func(n *lab.Node) bool { return n.Name == p.Spec.NodeName })
		if n >= 0 && p.Status.PodIP != "" && p.Status.Phase == corev1.PodRunning {
			places = append(places, place{name: p.Name, zone: c.Nodes[n].Zone, ip: p.Status.PodIP, node: c.Nodes[n], mock: mock})
		}
	}
	return places, nil
}
