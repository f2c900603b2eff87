package autoscale

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/need"
)

const (
	namespace = "autoscale"
	mockImage = "docker.io/eastway-test/mock:e2e"
)

const (
	// patience for what takes up to a minute on a quiet computer: the metrics are
	// a quarter of a minute old, and looked at four times a minute.
	patience = 3 * time.Minute
	// endPatience for what runs after a test that may have run out of time.
	endPatience = time.Minute
)

// world is one cluster with Eastway, metrics-server and the test's applications.
type world struct {
	*testing.T
	*install.Installer
	cluster *lab.Cluster
	clients *kubernetes.Clientset
	began   time.Time
	marked  map[string]bool
}

// progress shows what is going on as it happens.
func progress() io.Writer { return os.Stderr }

// newWorld brings all of it up, with values for the chart.
func newWorld(t *testing.T, values ...string) *world {
	t.Helper()
	if os.Getenv(lab.UserVariable) != "" {
		need.Missing(t, "unset "+lab.UserVariable+": this runs on a cluster of its own, which has metrics-server and the images")
	}
	need.Support(t, lab.Supported())
	ctx := t.Context()
	l, err := lab.ForTest(ctx, lab.Config{Name: "autoscale", Clusters: 1, MetricsServer: true, Progress: progress()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	w := &world{T: t, cluster: l.Clusters[0], began: time.Now(), marked: make(map[string]bool)}
	t.Cleanup(w.explain)
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "autoscale"))
	w.must(err)
	w.clients, err = w.cluster.Clients()
	w.must(err)
	w.Installer, err = install.New(ctx, install.Config{Lab: l, Dir: dir, Progress: progress()})
	w.must(err)
	w.must(w.deploy(ctx, dir))
	w.must(w.Install(ctx, w.cluster, values...))
	w.must(lab.Await(ctx, "the applications to run", patience, func(ctx context.Context) error {
		pods, err := w.pods(ctx, namespace, "app")
		if want := len(apps()) * len(w.cluster.Zones); err == nil && len(pods) != want {
			return fmt.Errorf("there are %d pods instead of %d", len(pods), want)
		}
		return allReady(pods, err)
	}))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// explain what the cluster was like when the test failed.
func (w *world) explain() {
	if !w.Failed() || w.Installer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), endPatience)
	defer cancel()
	w.Diagnose(ctx, w.Name())
	for _, question := range [][]string{
		{"describe", "hpa", "-A"}, {"top", "pods", "-A"}, {"-n", "kube-system", "logs", "--tail=20", "deployment/metrics-server"},
	} {
		answer, err := w.cluster.Kubectl(ctx, question...).CombinedOutput()
		fmt.Fprintf(progress(), "kubectl %s: %v\n%s\n", strings.Join(question, " "), err, answer)
	}
}

// mark a moment, at its first time, for people who want figures.
func (w *world) mark(what string) {
	if !w.marked[what] {
		w.marked[what] = true
		fmt.Fprintf(progress(), "== %5.1fs %s\n", time.Since(w.began).Seconds(), what)
	}
}

//go:embed manifests/apps.yaml
var manifest string

// apps are what runs in each zone, and the program's arguments.
func apps() map[string]string {
	return map[string]string{"mocka": "serve", steady: "load", burst: "load"}
}

// deploy the applications; they start while Eastway does.
func (w *world) deploy(ctx context.Context, dir string) error {
	_, archive, err := lab.BuildImage(ctx, dir, "e2e/apps/mock", mockImage)
	if err != nil {
		return err
	}
	if err := w.cluster.LoadImage(ctx, archive); err != nil {
		return err
	}
	t, err := template.New("apps").Parse(manifest)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{"Namespace": namespace, "Image": mockImage, "Zones": w.cluster.Zones, "Apps": apps()})
	if err != nil {
		return err
	}
	return w.cluster.Apply(ctx, []byte(text.String()))
}

// pods with a label, those that are leaving included.
func (w *world) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	list, err := w.clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func allReady(pods []corev1.Pod, err error) error {
	if err != nil {
		return err
	}
	for i := range pods {
		if !ready(&pods[i]) {
			return fmt.Errorf("%s is not ready", pods[i].Name)
		}
	}
	return nil
}
