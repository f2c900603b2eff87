package mcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/install"
)

// diagnosis is a fault, and what the command-line tool says about it in the first cluster.
type diagnosis struct {
	// fault as people call it.
	fault string
	// inject it, with what undoes it.
	inject func(*injection)
	// check that finds it; with a call, 'eastway check --call' of the service of the injection.
	check string
	call  bool
	// says and do are words that the message and the hint have.
	says, do []string
}

// command that a user types.
func (d *diagnosis) command() string {
	if d.call {
		return "eastway check --call"
	}
	return "eastway check"
}

// injection of one fault.
type injection struct {
	*spec
	undo []func(context.Context) error
	// namespace of the service, and the port that is called.
	namespace string
	port      int
	// args of the check.
	args []string
}

// back undoes it all.
func (i *injection) back(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(i.undo) {
		errs = append(errs, undo(ctx))
	}
	i.undo = nil
	return errors.Join(errs...)
}

// save an object as it is, or that there is none, for when the fault is undone. Its kind is KIND.VERSION.GROUP, as kubectl takes it.
func (i *injection) save(c *cluster, kind, namespace, name string) {
	i.Helper()
	gvk, gk := schema.ParseKindArg(kind)
	if gvk == nil {
		gvk = &schema.GroupVersionKind{Version: "v1", Kind: gk.Kind}
	}
	get := func(ctx context.Context) (*unstructured.Unstructured, error) {
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(*gvk)
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, o)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return o, err
	}
	was, err := get(i.Context())
	i.must(err)
	i.undo = append(i.undo, func(ctx context.Context) error {
		return lab.Await(ctx, "to restore "+kind+" "+name, patience, func(ctx context.Context) error {
			is, err := get(ctx)
			switch {
			case err != nil || was == nil && is == nil:
				return err
			case was == nil:
				return client.IgnoreNotFound(c.Delete(ctx, is))
			}
			next := was.DeepCopy()
			next.SetManagedFields(nil)
			if is == nil {
				next.SetResourceVersion("")
				next.SetUID("")
				return c.Create(ctx, next)
			}
			next.SetResourceVersion(is.GetResourceVersion())
			next.SetUID(is.GetUID())
			return c.Update(ctx, next)
		})
	})
}

// Kinds that faults change.
const (
	deployments = "Deployment.v1.apps"
	daemonSets  = "DaemonSet.v1.apps"
	bindings    = "ClusterRoleBinding.v1.rbac.authorization.k8s.io"
	peersKind   = "Peer.v1alpha1.eastway.dev"
)

// patch an object of the first cluster, with a merge patch.
func (i *injection) patch(kind, namespace, name, patch string) {
	i.Helper()
	i.patchIn(i.first, kind, namespace, name, patch)
}

func (i *injection) patchIn(c *cluster, kind, namespace, name, patch string) {
	i.Helper()
	i.save(c, kind, namespace, name)
	_, err := i.kubectl(i.Context(), c, "", "patch", strings.ToLower(kind), name, "-n", namespace, "--type=merge", "-p", patch)
	i.must(err)
}

// remove an object of the first cluster.
func (i *injection) remove(kind, namespace, name string) {
	i.Helper()
	i.removeIn(i.first, kind, namespace, name)
}

func (i *injection) removeIn(c *cluster, kind, namespace, name string) {
	i.Helper()
	i.save(c, kind, namespace, name)
	_, err := i.kubectl(i.Context(), c, "", "delete", strings.ToLower(kind), name, "-n", namespace)
	i.must(err)
}

// add objects.
func (i *injection) add(c *cluster, manifest string) {
	i.Helper()
	text := strings.NewReplacer("NAMESPACE", i.namespace, "SERVICE", i.service).Replace(manifest)
	i.undo = append(i.undo, func(ctx context.Context) error {
		_, err := i.kubectl(ctx, c, text, "delete", "--ignore-not-found", "-f", "-")
		return err
	})
	_, err := i.kubectl(i.Context(), c, text, "apply", "-f", "-")
	i.must(err)
}

// exported has the second cluster export the service, with changes of its manifest, and the first one import it.
func (i *injection) exported(replace ...string) {
	i.Helper()
	i.add(i.second, strings.NewReplacer(replace...).Replace(helloService+helloExport))
	i.imported(i.first, exportedBy(i.second), hasIPs)
}

const helloService = `---
apiVersion: v1
kind: Service
metadata: {name: SERVICE, namespace: NAMESPACE}
spec:
  selector: {app: hello}
  ports: [{name: tcp, port: 4242, targetPort: 4242}]
`

const helloExport = `---
apiVersion: multicluster.x-k8s.io/v1alpha1
kind: ServiceExport
metadata: {name: SERVICE, namespace: NAMESPACE}
`

const helloPolicy = `---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: SERVICE, namespace: NAMESPACE}
spec:
  targetRef: {kind: Service, name: SERVICE}
`

// drop packets from and to the other cluster's site at this site's gateway, as a firewall does.
func (i *injection) drop(protocols string) {
	i.Helper()
	server, err := url.Parse(i.second.APIServer)
	i.must(err)
	site, err := netip.MustParseAddr(server.Hostname()).Prefix(24)
	i.must(err)
	nft := func(ctx context.Context, rules string) error {
		command := i.first.Command(ctx, "nft", "-f", "-")
		command.Stdin = strings.NewReader(rules)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	}
	i.undo = append(i.undo, func(ctx context.Context) error { return nft(ctx, "delete table ip fault\n") })
	i.must(nft(i.Context(), strings.NewReplacer("SITE", site.String(), "PROTOCOLS", protocols).Replace(`table ip fault {
	chain forward {
		type filter hook forward priority -10
		ip saddr SITE meta l4proto PROTOCOLS drop
		ip daddr SITE meta l4proto PROTOCOLS drop
	}
}
`)))
}

// kubeconfig of an API server that is not there.
func (i *injection) deadServer() {
	i.Helper()
	path := filepath.Join(i.TempDir(), "kubeconfig")
	i.must(os.WriteFile(path, []byte(`apiVersion: v1
kind: Config
clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
users: [{name: x}]
current-context: x
`), 0o600))
	i.args = []string{"--kubeconfig", path, "--context", "x"}
}

// findings of the command.
func (i *injection) findings(ctx context.Context, d *diagnosis) []finding {
	i.Helper()
	args := i.args
	if args == nil {
		args = []string{"--context", i.first.Name}
	}
	if d.call {
		args = append(args, "--call", fmt.Sprintf("%s/%s:%d", i.namespace, i.service, i.port))
	}
	found, _ := i.checkupWith(ctx, args...)
	return found
}

// finds the one that says what it should.
func (d *diagnosis) finds(all []finding) bool {
	return slices.ContainsFunc(all, func(f finding) bool {
		lacks := func(text string, words []string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
		}
		return f.Check == d.check && (f.Level == "failed" || f.Level == "warning") && !lacks(f.Message, d.says) && !lacks(f.Hint, d.do)
	})
}

// bad are findings for an error message.
func bad(all []finding) (lines []string) {
	for _, f := range all {
		if f.Level != "ok" {
			lines = append(lines, fmt.Sprintf("%s: %s: %s (%s)", f.Check, f.Level, f.Message, f.Hint))
		}
	}
	return lines
}

// diagnosed: each fault is injected, named with what to do about it, and undone.
func diagnosed(s *spec) {
	before, well := s.checkup(s.Context(), s.first)
	if !well {
		s.Fatalf("not well before: %q", bad(before))
	}
	known := map[string]bool{}
	for _, line := range bad(before) {
		known[line] = true
	}
	for _, d := range diagnoses() {
		s.Run(d.fault, func(t *testing.T) {
			(&injection{spec: s.world.spec(t), namespace: s.namespace, port: helloPort}).diagnose(&d, known)
		})
	}
	s.must(s.AwaitConnected(s.Context()))
}

// diagnose one.
func (i *injection) diagnose(d *diagnosis, known map[string]bool) {
	began := time.Now()
	found := func() error {
		defer func() { i.must(i.back(context.WithoutCancel(i.Context()))) }()
		d.inject(i)
		return lab.Await(i.Context(), d.command()+" to name it", patience, func(ctx context.Context) error {
			if all := i.findings(context.WithoutCancel(ctx), d); !d.finds(all) {
				return errors.New(strings.Join(bad(all), "\n"))
			}
			return nil
		})
	}()
	took := time.Since(began)
	if found != nil {
		i.Errorf("%v, want check %q with %q, and to do %q", found, d.check, d.says, d.do)
	}
	i.await("what follows from it to end", func(ctx context.Context) error {
		all, _ := i.checkup(context.WithoutCancel(ctx), i.first)
		var errs []error
		for _, line := range bad(all) {
			if !known[line] {
				errs = append(errs, errors.New(line))
			}
		}
		return errors.Join(errs...)
	})
	i.Logf("named after %.1f s, over after %.1f s", took.Seconds(), time.Since(began).Seconds())
}

// templateOf is a merge patch of a workload's template.
func templateOf(patch string) string { return `{"spec":{"template":` + patch + `}}` }

// ofRelease patches an object of the installation.
func (i *injection) ofRelease(kind, name, patch string) {
	i.Helper()
	i.patch(kind, install.Namespace, "eastway-"+name, patch)
}

// strategic patches the template of a workload of the installation, where containers are merged by their names.
func (i *injection) strategic(kind, name, patch string) {
	i.Helper()
	i.save(i.first, kind, install.Namespace, "eastway-"+name)
	_, err := i.kubectl(i.Context(), i.first, "", "patch", strings.ToLower(kind), "eastway-"+name, "-n", install.Namespace, "-p", templateOf(patch))
	i.must(err)
}

func (i *injection) json(object any) string {
	i.Helper()
	text, err := json.Marshal(object)
	i.must(err)
	return string(text)
}

// awaitRefusal waits until the API server makes no pod in the namespace of the installation: it learns of policies within seconds.
func (i *injection) awaitRefusal() {
	i.Helper()
	i.await("pods to be refused", func(ctx context.Context) error {
		_, err := i.kubectl(ctx, i.first, "", "run", "fault", "-n", install.Namespace, "--image=none", "--dry-run=server")
		if err != nil && strings.Contains(err.Error(), "no pods today") {
			return nil
		}
		return fmt.Errorf("kubectl run: %v", err) //nolint:errorlint // it may be nil
	})
}
