package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

// inventory is every object of a cluster, as "RESOURCE.GROUP NAMESPACE/NAME".
type inventory map[string]bool

// takeInventory of everything that can be listed, of all API groups and in all
// namespaces. Events are left out: they end by themselves.
func takeInventory(ctx context.Context, c *lab.Cluster) (inventory, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	config.WarningHandler = rest.NoWarnings{} // of resources that are deprecated
	config.QPS = -1                           // some seventy lists, one after the other
	asks, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	groups, err := asks.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("which resources does %s have: %w", c.Name, err)
	}
	all := inventory{}
	for _, group := range groups {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		if err != nil {
			return nil, err
		}
		for i := range group.APIResources {
			resource := &group.APIResources[i]
			if !slices.Contains(resource.Verbs, "list") || resource.Kind == "Event" {
				continue
			}
			list, err := objects.Resource(version.WithResource(resource.Name)).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("list %s of %s: %w", resource.Name, c.Name, err)
			}
			for j := range list.Items {
				o := &list.Items[j]
				all[fmt.Sprintf("%s %s/%s", version.WithResource(resource.Name).GroupResource(), o.Namespace, o.Name)] = true
			}
		}
	}
	return all, nil
}

// count the objects whose names begin so.
func (i inventory) count(start string) (n int) {
	for o := range i {
		if strings.HasPrefix(o, start) {
			n++
		}
	}
	return n
}

// beyond are those that before does not have, in order.
func (i inventory) beyond(before inventory) []string {
	var more []string
	for o := range i {
		if !before[o] {
			more = append(more, o)
		}
	}
	slices.Sort(more)
	return more
}

// containersOf all pods of a namespace, by the names that their processes'
// cgroups have.
func containersOf(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var ids []string
	for i := range pods.Items {
		for _, s := range pods.Items[i].Status.ContainerStatuses {
			if _, id, found := strings.Cut(s.ContainerID, "://"); found {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// processesOf containers, as "PID COMMAND".
func processesOf(containers []string) ([]string, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, folder := range folders {
		cgroup, err := os.ReadFile(filepath.Join(folder, "cgroup"))
		if err != nil {
			continue // it has ended
		}
		if slices.ContainsFunc(containers, func(id string) bool { return strings.Contains(string(cgroup), id) }) {
			command, _ := os.ReadFile(filepath.Join(folder, "cmdline")) // it may end at any time
			found = append(found, filepath.Base(folder)+" "+strconv.Quote(strings.ReplaceAll(string(command), "\x00", " ")))
		}
	}
	return found, nil
}

// tablesOf Eastway on a node.
func tablesOf(ctx context.Context, n *lab.Node) ([]string, error) {
	out, err := n.Command(ctx, "nft", "list", "tables").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w: %s", n.Name, err, out)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "eastway") {
			found = append(found, n.Name+": "+strings.TrimSpace(line))
		}
	}
	return found, nil
}
