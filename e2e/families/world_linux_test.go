package families

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	namespace  = "families"
	helloImage = "docker.io/eastway-test/hello:e2e"
	helloPort  = 4242 // of the program e2e/mcs/hello
	replicas   = 2
	// failed begins a line of the pod's program about what failed.
	failed = "error: "

	// patience for what takes some seconds on a quiet computer.
	patience = time.Minute
	// endPatience for what runs after a test that may have run out of time.
	endPatience = time.Minute
)

// service of the tests.
type service struct {
	Name string
	// Families as a list of YAML; "": all that the cluster has.
	Families string
	Headless bool
}

// services of each cluster, all exported.
func services() [][]service {
	return [][]service{
		{
			{Name: "four", Families: "[IPv4]"},
			{Name: "six", Families: "[IPv6]"},
			{Name: "both"},
			{Name: "pods", Headless: true},
			{Name: shop},
		},
		{{Name: "only-six"}, {Name: "pods-six", Headless: true}, {Name: shop}},
		{{Name: "only-four"}, {Name: shop}},
	}
}

// shop is in all clusters, and the nodes lead calls of it to Eastway.
const shop = "shop"

// world is the clusters: dual has both families and is linked with six, which has
// IPv6 only, and with four, which has IPv4 only; these two could not be linked.
type world struct {
	*testing.T
	*install.Installer
	dual, six, four *lab.Cluster
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(lab.UserVariable) != "" {
		need.Missing(t, "unset "+lab.UserVariable+": this runs on clusters of its own, which have the IP families and the images")
	}
	need.Support(t, lab.Supported())
	ctx := t.Context()
	l, err := lab.ForTest(ctx, lab.Config{
		Name: "families", Clusters: 3, IPFamilies: []string{lab.DualStack, lab.IPv6, lab.IPv4}, KubeProxyMode: "iptables",
		Progress: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	w := &world{T: t, dual: l.Clusters[0], six: l.Clusters[1], four: l.Clusters[2]}
	t.Cleanup(w.explain)
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "families"))
	w.must(err)
	w.Installer, err = install.New(ctx, install.Config{Lab: l, Dir: dir, Progress: os.Stderr})
	w.must(err)
	_, archive, err := lab.BuildImage(ctx, dir, "e2e/mcs/hello", helloImage)
	w.must(err)
	w.must(l.LoadImage(ctx, archive))
	w.must(w.All(func(c *lab.Cluster) error { return w.Install(ctx, c, values(c == w.dual)...) }))
	for _, c := range []*lab.Cluster{w.six, w.four} {
		_, err := w.Eastway(ctx, "peer", "link", "--contexts", w.dual.Name+","+c.Name)
		w.must(err)
	}
	for i, c := range l.Clusters {
		w.must(w.deploy(ctx, c, services()[i]))
	}
	for _, c := range l.Clusters {
		for _, what := range []string{"deployment/hello", "statefulset/set", "deployment/request"} {
			w.kubectl(c, "--namespace", namespace, "rollout", "status", what, "--timeout="+patience.String())
		}
	}
	return w
}

// values of the chart. Others reach a cluster with both families at its nodes, by either: as many clouds' load balancers, the
// lab's has the primary family only.
func values(both bool) []string {
	if both {
		return []string{"tunnel.service.type=NodePort", "tunnel.service.ipFamilyPolicy=PreferDualStack"}
	}
	return nil
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// sub is the world for a subtest.
func (w *world) sub(t *testing.T) *world {
	s := *w
	s.T = t
	return &s
}

// explain what the clusters were like when the test failed.
func (w *world) explain() {
	if !w.Failed() || w.Installer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), endPatience)
	defer cancel()
	w.Diagnose(ctx, w.Name())
}

//go:embed manifests/apps.yaml
var manifest string

func (w *world) deploy(ctx context.Context, c *lab.Cluster, services []service) error {
	t, err := template.New("apps").Parse(manifest)
	if err != nil {
		return err
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]any{
		"Namespace": namespace, "Cluster": c.Name, "Image": helloImage, "Port": helloPort, "Replicas": replicas, "Services": services,
	})
	if err != nil {
		return err
	}
	return c.Apply(ctx, []byte(text.String()))
}

// kubectl is what a call of it printed.
func (w *world) kubectl(c *lab.Cluster, args ...string) string {
	w.Helper()
	out, err := c.Kubectl(w.Context(), args...).CombinedOutput()
	if err != nil {
		w.Fatalf("%s: kubectl %s: %v\n%s", c.Name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// hello runs the program in the pod that calls.
func (w *world) hello(ctx context.Context, c *lab.Cluster, args ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // one look of lab.Await is too short for many calls
	defer cancel()
	args = append([]string{"--namespace", namespace, "exec", "deployment/request", "--", "/hello"}, args...)
	out, err := c.Kubectl(ctx, args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

// addresses of a name in a cluster, of a kind of record: A or AAAA; it awaits that there are some, or none.
func (w *world) addresses(c *lab.Cluster, kind, name string, some bool) (found []string) {
	w.Helper()
	w.must(lab.Await(w.Context(), fmt.Sprintf("%s: %s of %s", c.Name, kind, name), patience, func(ctx context.Context) (err error) {
		if found, err = w.hello(ctx, c, "lookup", "-type", kind, name); err != nil {
			return err
		}
		if strings.HasPrefix(found[0], failed) == some {
			return errors.New(strings.Join(found, " "))
		}
		return nil
	}))
	return found
}

// answered returns when calls in a row have all been answered by one of the clusters that they may be answered by.
func (w *world) answered(c *lab.Cluster, host string, by ...*lab.Cluster) {
	w.Helper()
	const calls = 10
	address := address(host)
	var names []string
	for _, one := range by {
		names = append(names, one.Name)
	}
	what := fmt.Sprintf("%s: %s to answer at %s", c.Name, strings.Join(names, " or "), address)
	w.must(lab.Await(w.Context(), what, patience, func(ctx context.Context) error {
		answers, err := w.hello(ctx, c, "call", "-n", strconv.Itoa(calls), address)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if name, _, _ := strings.Cut(a, " "); !slices.Contains(names, name) {
				return errors.New(a)
			}
		}
		return nil
	}))
}
