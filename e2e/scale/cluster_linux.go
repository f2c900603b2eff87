package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/binaries"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/e2e/cluster/machine"
	"github.com/eastway/eastway/e2e/install"
	"github.com/eastway/eastway/internal/controller"
)

// emulatedVersion is the last one in which an API server gives out cluster IPs at a cost that does not grow with their number.
// From 1.33 on it counts all that are in use each time, which with 25,000 is most of what it does.
const emulatedVersion = "1.32"

// labName of a lab of our own.
const labName = "scale"

// tokenSeconds is longer than any run.
const tokenSeconds = 6 * 60 * 60

// cluster is the one that is measured.
type cluster struct {
	*lab.Cluster
	lab     *lab.Lab
	client  client.Client // as its administrator, as fast as it can
	set     *kubernetes.Clientset
	rest    *rest.Config
	dir     string
	keep    bool
	version string // of the API server
}

// newCluster brings one up, or finds it. The caller takes it down, also after an error.
func newCluster(ctx context.Context, o *options) (*cluster, error) {
	c := &cluster{keep: o.lab != ""}
	var err error
	if c.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("--dir: %w", err)
	}
	if c.keep {
		c.lab, err = lab.Open(o.lab)
	} else {
		c.lab, err = lab.Up(ctx, lab.Config{
			Name: labName, Clusters: 1, EmulatedVersion: emulatedVersion, Replace: true, Progress: o.progress,
		})
	}
	if err != nil {
		return nil, err
	}
	c.Cluster = c.lab.Clusters[0]
	return c, errors.Join(c.connect(), c.quiet(ctx))
}

func (c *cluster) connect() (err error) {
	if c.rest, err = c.RESTConfig(); err != nil {
		return err
	}
	c.rest.QPS = -1 // what the API server can bear it says itself
	c.rest.WarningHandler = rest.NoWarnings{}
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	if c.client, err = client.New(c.rest, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client of %s: %w", c.Name, err)
	}
	if c.set, err = kubernetes.NewForConfig(c.rest); err != nil {
		return fmt.Errorf("make a client of %s: %w", c.Name, err)
	}
	v, err := c.set.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask %s for its version: %w", c.Name, err)
	}
	c.version = v.GitVersion
	return nil
}

// quiet stops what would compute on account of the services, and is not what is measured: kube-proxy.
func (c *cluster) quiet(ctx context.Context) error {
	var errs []error
	for _, n := range c.Nodes {
		errs = append(errs, n.StopDaemon(ctx, lab.KubeProxy))
	}
	if c.keep {
		return nil // it may have been stopped by an earlier run
	}
	return errors.Join(errs...)
}

// pause stops the controller manager for now: it makes a slice for every derived Service, at 20 a second, which would go on
// all the time that something is measured.
func (c *cluster) pause(ctx context.Context) error {
	machines, err := machine.Find(c.lab.Dir())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(machines, func(m *machine.Machine) bool { return m.Name() == c.Name+"-control" })
	if i < 0 {
		return fmt.Errorf("the machine %s-control does not run", c.Name)
	}
	return machines[i].Signal(ctx, "kube-controller-manager", syscall.SIGSTOP)
}

// down takes it down, unless it was up before.
func (c *cluster) down(ctx context.Context) error {
	if c.keep {
		return nil
	}
	return c.lab.Down(context.WithoutCancel(ctx))
}

// install what the chart has beside processes, and build the processes' program.
func (c *cluster) install(ctx context.Context, progress io.Writer) error {
	build := binaries.Builder{Progress: progress}
	if err := build.Own(ctx, c.dir, "cmd/eastway"); err != nil {
		return err
	}
	helm, err := build.Programs(ctx, binaries.Helm)
	if err != nil {
		return err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the checkout: %w", err)
	}
	template := exec.CommandContext(ctx, filepath.Join(helm, "helm"), "template", install.Release,
		filepath.Join(strings.TrimSpace(string(root)), "charts", "eastway"), "--namespace", install.Namespace, "--include-crds",
		"--kube-version", c.version, "--set", "cluster="+c.Name, "--set", "node.enabled=true",
		"--set", fmt.Sprintf("listenerPorts=%d-%d", firstPort, lastPort))
	var problems bytes.Buffer
	template.Stderr = &problems
	rendered, err := template.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", template, err, &problems)
	}
	manifests, err := beside(rendered)
	if err != nil {
		return err
	}
	return c.Apply(ctx, manifests)
}

// beside are the objects of the chart that are neither processes nor about them, and their namespace.
func beside(rendered []byte) ([]byte, error) {
	wanted := []string{
		"CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service",
	}
	list := map[string]any{"apiVersion": "v1", "kind": "List"}
	items := []any{map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": install.Namespace}}}
	docs := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(rendered), 1<<10)
	for {
		var o unstructured.Unstructured
		err := docs.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read what helm rendered: %w", err)
		}
		if slices.Contains(wanted, o.GetKind()) {
			items = append(items, o.Object)
		}
	}
	list["items"] = items
	return json.Marshal(list)
}

// kubeconfig of the account of a component.
func (c *cluster) kubeconfig(ctx context.Context, component string) (string, error) {
	account, lasts := install.Release+"-"+component, int64(tokenSeconds)
	token, err := c.set.CoreV1().ServiceAccounts(install.Namespace).CreateToken(ctx, account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lasts}}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of %s: %w", account, err)
	}
	config := api.NewConfig()
	config.Clusters[c.Name] = &api.Cluster{Server: c.rest.Host, CertificateAuthorityData: c.rest.CAData}
	config.AuthInfos[account] = &api.AuthInfo{Token: token.Status.Token}
	config.Contexts[account] = &api.Context{Cluster: c.Name, AuthInfo: account}
	config.CurrentContext = account
	path := filepath.Join(c.dir, component+".kubeconfig")
	return path, clientcmd.WriteToFile(*config, path)
}

// metrics of the API server.
func (c *cluster) metrics(ctx context.Context, names ...string) (samples, error) {
	body, err := c.set.CoreV1().RESTClient().Get().AbsPath("/metrics").Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("metrics of the API server: %w", err)
	}
	defer body.Close()
	return parseMetrics(body, names...)
}
