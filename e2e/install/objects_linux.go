package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
)

// Client of a cluster, as its administrator, for all objects that Eastway knows.
func Client(c *lab.Cluster) (client.Client, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), mcsv1alpha1.Install(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("install: register the types of objects: %w", err)
	}
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	made, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("install: make a client of %s: %w", c.Name, err)
	}
	return made, nil
}

// Pods of a component: controller, proxy or node.
func Pods(ctx context.Context, c client.Client, component string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace(Namespace), client.MatchingLabels{
		"app.kubernetes.io/name": "eastway", "app.kubernetes.io/instance": Release, "app.kubernetes.io/component": component,
	})
	if err != nil {
		return nil, fmt.Errorf("install: list the pods of %s: %w", component, err)
	}
	return pods.Items, nil
}

// Link all clusters with each other, and return when each says that it is
// connected with all others.
func (i *Installer) Link(ctx context.Context) error {
	names := make([]string, len(i.Lab.Clusters))
	for n, c := range i.Lab.Clusters {
		names[n] = c.Name
	}
	args := []string{"peer", "link", "--contexts", strings.Join(names, ","), "--namespace", i.Namespace, "--release", i.Release}
	if i.Release == Release && i.Namespace == Namespace { // what a user types
		args = args[:4]
	}
	if _, err := i.Eastway(ctx, args...); err != nil {
		return err
	}
	return i.AwaitConnected(ctx)
}

// AwaitConnected returns when the status of every Peer says so.
func (i *Installer) AwaitConnected(ctx context.Context) error {
	return i.All(func(c *lab.Cluster) error {
		objects, err := Client(c)
		if err != nil {
			return err
		}
		const limit = 2 * time.Minute
		return lab.Await(ctx, c.Name+" to be connected", limit, func(ctx context.Context) error {
			var peers v1alpha1.PeerList
			if err := objects.List(ctx, &peers); err != nil {
				return err
			}
			if others := len(i.Lab.Clusters) - 1; len(peers.Items) < others {
				return fmt.Errorf("it has %d peers instead of %d", len(peers.Items), others)
			}
			for n := range peers.Items {
				p := &peers.Items[n]
				if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PeerConnected) || p.Status.ConnectedProxies < p.Status.Proxies {
					return fmt.Errorf("peer %s: %d of %d proxies are connected: %s: %+v", p.Name, p.Status.ConnectedProxies, p.Status.Proxies,
						p.Status.LastError, p.Status.Conditions)
				}
			}
			return nil
		})
	})
}
