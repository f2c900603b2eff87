package kubecli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/internal/version"
)

// Defaults of where Eastway is installed.
const (
	DefaultNamespace = "eastway-system"
	DefaultRelease   = "eastway"
)

const (
	// requestTimeout bounds one request to the API server; the largest answers are lists of a few thousand Services.
	requestTimeout = 20 * time.Second
	// clientQPS and clientBurst bound requests per second: a person's command, not a controller.
	clientQPS   = 50
	clientBurst = 100
)

// Options select a cluster, and where in it Eastway is installed.
type Options struct {
	// Kubeconfig is a file; "": $KUBECONFIG, ~/.kube/config, or the service account of the pod that this is.
	Kubeconfig string
	// Context in the kubeconfig; "": its current one.
	Context string
	// Namespace of the installation; "": DefaultNamespace, or in a pod the pod's own.
	Namespace string
	// Release is the name of the helm release; "": DefaultRelease.
	Release string
}

// Cluster is one Kubernetes cluster, and the installation of Eastway in it.
type Cluster struct {
	// Context is its name in the kubeconfig; "" inside a pod.
	Context string
	// Server is the API server's URL.
	Server string
	// Namespace and Release of the installation.
	Namespace, Release string

	client client.Client
	config *rest.Config
	http   *http.Client
}

// Configured reports whether there is a kubeconfig.
func Configured(o Options) bool {
	if o.Kubeconfig != "" || o.Context != "" || os.Getenv(clientcmd.RecommendedConfigPathEnvVar) != "" {
		return true
	}
	return slices.ContainsFunc(loadingRules(o).GetLoadingPrecedence(), func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.Size() > 0
	})
}

// podNamespace is that of the pod in which this process runs; "" outside of one.
func podNamespace() string {
	data, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// InPod reports whether this process runs in a pod that may have a service account.
func InPod() bool { return os.Getenv("KUBERNETES_SERVICE_HOST") != "" }

// Contexts are the names in the kubeconfig, sorted.
func Contexts(o Options) ([]string, error) {
	raw, err := loadingRules(o).Load()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return slices.Sorted(maps.Keys(raw.Contexts)), nil
}

// Open reads the kubeconfig; it does not connect yet.
func Open(o Options) (*Cluster, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loadingRules(o),
		&clientcmd.ConfigOverrides{CurrentContext: o.Context})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, configError(o, err)
	}
	cfg.UserAgent = "eastway/" + version.Get().Version
	cfg.Timeout = requestTimeout
	cfg.QPS, cfg.Burst = clientQPS, clientBurst
	cfg.ContentType = runtime.ContentTypeJSON
	cfg.WarningHandlerWithContext = rest.NoWarnings{}
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	scheme, mapper, err := kinds()
	if err != nil {
		return nil, err
	}
	c, err := client.New(cfg, client.Options{HTTPClient: h, Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	out := &Cluster{
		Context: o.Context, Server: cfg.Host, Namespace: o.Namespace, Release: o.Release,
		client: c, config: cfg, http: h,
	}
	if raw, err := loader.RawConfig(); err == nil && out.Context == "" {
		out.Context = raw.CurrentContext
	}
	if out.Namespace == "" && out.Context == "" {
		out.Namespace = podNamespace()
	}
	if out.Namespace == "" {
		out.Namespace = DefaultNamespace
	}
	if out.Release == "" {
		out.Release = DefaultRelease
	}
	return out, nil
}

// Close ends idle connections.
func (c *Cluster) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// String is the cluster's name in messages.
func (c *Cluster) String() string {
	if c.Context == "" {
		return "this cluster"
	}
	return "context " + c.Context
}

// Prefix with which the chart begins the names of objects: the release's name, cut off so that every suffix fits.
func (c *Cluster) Prefix() string {
	const longest = 45 // bytes
	return strings.TrimSuffix(c.Release[:min(len(c.Release), longest)], "-")
}

// object of the installation.
func (c *Cluster) object(suffix string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.Namespace, Name: c.Prefix() + "-" + suffix}
}

func loadingRules(o Options) *clientcmd.ClientConfigLoadingRules {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	rules.WarnIfAllMissing = false
	return rules
}

// configError explains what is wrong with the kubeconfig, and what to do.
func configError(o Options, err error) error {
	contexts, _ := Contexts(o)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no %s", ErrNoConfig, o.Kubeconfig)
	case clientcmd.IsEmptyConfig(err), errors.Is(err, rest.ErrNotInCluster):
		if env := os.Getenv(clientcmd.RecommendedConfigPathEnvVar); env != "" {
			return fmt.Errorf("%w: KUBECONFIG is %q, and nothing is there", ErrNoConfig, env)
		}
		return fmt.Errorf("%w: set --kubeconfig or KUBECONFIG, or make %s", ErrNoConfig, clientcmd.RecommendedHomeFile)
	case unknownContext(o, contexts):
		return fmt.Errorf("%w %q: the kubeconfig has %s", ErrUnknownContext, o.Context, sentenceList(contexts))
	default:
		return fmt.Errorf("read the kubeconfig: %s", strings.TrimPrefix(err.Error(), "invalid configuration: "))
	}
}

func unknownContext(o Options, contexts []string) bool {
	return o.Context != "" && !slices.Contains(contexts, o.Context)
}

func sentenceList(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
