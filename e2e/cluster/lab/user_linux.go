package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/tools/clientcmd"
)

// UserVariable names the environment variable with the kubeconfigs of clusters
// that the user has, separated by commas. Tests run on those then.
const UserVariable = "E2E_KUBECONFIGS"

// ImagesVariable says, by its value "loaded", that all nodes of the user's clusters have the images of the tests.
const ImagesVariable = "E2E_IMAGES"

// ErrNotLoaded is the error if they do not have one.
var ErrNotLoaded = errors.New("an image is missing")

// Users reports whether the clusters are the user's own.
func (l *Lab) Users() bool { return l.dir == "" }

// ForTest is the lab of a test package: the user's clusters if the environment
// names some, else a new lab instead of what an earlier run left behind.
func ForTest(ctx context.Context, c Config) (*Lab, error) {
	paths := strings.FieldsFunc(os.Getenv(UserVariable), func(r rune) bool { return r == ',' })
	if len(paths) > 0 {
		return FromKubeconfigs(ctx, paths...)
	}
	c.Replace = true
	return Up(ctx, c)
}

// FromKubeconfigs makes a lab of clusters that it did not start, given by
// their kubeconfigs, each for its current context. Nothing can be done to their
// machines, images have to be loaded by the user, and Down does nothing.
func FromKubeconfigs(ctx context.Context, paths ...string) (*Lab, error) {
	if len(paths) == 0 {
		return nil, errors.New("lab: no kubeconfig was given")
	}
	l := &Lab{state: state{Config: Config{}.withDefaults()}}
	var absolute []string
	for i, path := range paths {
		c, err := userCluster(path)
		if err != nil {
			return nil, err
		}
		c.index = i
		if err := c.findNodes(ctx); err != nil {
			return nil, err
		}
		l.Clusters = append(l.Clusters, c)
		absolute = append(absolute, c.Kubeconfig)
	}
	l.Kubeconfig = strings.Join(absolute, string(os.PathListSeparator))
	return l, nil
}

func userCluster(path string) (*Cluster, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("lab: read a kubeconfig: %w", err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.Clusters[current.Cluster] == nil {
		return nil, fmt.Errorf("lab: the kubeconfig %s has no current context that names a cluster: kubectl config use-context …", path)
	}
	if problems := validation.IsDNS1123Label(config.CurrentContext); len(problems) > 0 {
		return nil, fmt.Errorf("lab: the context %q of the kubeconfig %s cannot be a cluster's name in tests: kubectl config rename-context: %s",
			config.CurrentContext, path, problems[0])
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("lab: find a kubeconfig: %w", err)
	}
	return &Cluster{Name: config.CurrentContext, Kubeconfig: absolute, APIServer: config.Clusters[current.Cluster].Server}, nil
}

// findNodes asks the cluster for its nodes and where they are.
func (c *Cluster) findNodes(ctx context.Context) error {
	clients, err := c.Clients()
	if err != nil {
		return err
	}
	nodes, err := clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("lab: list the nodes of %s: %w", c.Name, err)
	}
	for i := range nodes.Items {
		one := &nodes.Items[i]
		n := &Node{Name: one.Name, Zone: one.Labels[corev1.LabelTopologyZone], cluster: c, index: i}
		c.Region = one.Labels[corev1.LabelTopologyRegion]
		if !slices.Contains(c.Zones, n.Zone) {
			c.Zones = append(c.Zones, n.Zone)
		}
		for _, address := range one.Status.Addresses {
			if address.Type == corev1.NodeInternalIP && !n.Address.IsValid() {
				if n.Address, err = netip.ParseAddr(address.Address); err != nil {
					return fmt.Errorf("lab: read the address of node %s: %w", n.Name, err)
				}
			}
		}
		c.Nodes = append(c.Nodes, n)
	}
	return nil
}
