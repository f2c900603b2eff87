package kubecli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Component is one of Eastway's workloads, as app.kubernetes.io/component names it.
type Component string

// The workloads of an installation.
const (
	Controller Component = "controller"
	Proxy      Component = "proxy"
	Node       Component = "node"
)

// Ports of pods.
const (
	// AdminPort of a proxy, on its loopback address.
	AdminPort = 15000
	// HealthPort of a proxy.
	HealthPort = 15020
	// NodeHealthPort of a node agent.
	NodeHealthPort = 15022
)

const (
	nameLabel      = "app.kubernetes.io/name"
	instanceLabel  = "app.kubernetes.io/instance"
	componentLabel = "app.kubernetes.io/component"
	managedByLabel = "app.kubernetes.io/managed-by"
	product        = "eastway"
)

// maxPodsNamed is how many pods an error lists.
const maxPodsNamed = 5

// Pods of a component, sorted by name. None is no error.
func (c *Cluster) Pods(ctx context.Context, of Component) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(of))
	if err != nil {
		return nil, c.explain("find the "+string(of)+" pods", err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// labels are those of a component's pods and of the workload that makes them.
func (c *Cluster) labels(of Component) client.MatchingLabels {
	return client.MatchingLabels{nameLabel: product, instanceLabel: c.Release, componentLabel: string(of)}
}

// ReadyProxies are the proxy pods that answer; ErrNoProxy has what keeps the others.
func (c *Cluster) ReadyProxies(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := c.Pods(ctx, Proxy)
	switch {
	case err != nil:
		return nil, err
	case len(pods) == 0:
		return nil, c.NotInstalled(ctx)
	}
	ready := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return !Ready(&p) })
	if len(ready) == 0 {
		return nil, fmt.Errorf("%w in namespace %s: %s", ErrNoProxy, c.Namespace, describePods(pods))
	}
	return ready, nil
}

// Pod is one proxy pod by its name.
func (c *Cluster) Pod(ctx context.Context, name string) (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: name}, &pod); err != nil {
		return nil, c.explain("find the pod "+c.Namespace+"/"+name, err)
	}
	return &pod, nil
}

// Ready reports whether the pod has the condition Ready, and is not being deleted.
func Ready(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// Problem is why a pod is not ready, in short.
func Problem(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "is being deleted"
	}
	for i := range pod.Status.ContainerStatuses {
		state := &pod.Status.ContainerStatuses[i].State
		switch {
		case state.Waiting != nil && state.Waiting.Reason != "":
			return strings.TrimSpace("waits: " + state.Waiting.Reason + " " + oneLine(state.Waiting.Message))
		case state.Terminated != nil:
			return fmt.Sprintf("ended with code %d %s", state.Terminated.ExitCode, oneLine(state.Terminated.Message))
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return oneLine(c.Message)
		}
	}
	return "is " + string(pod.Status.Phase)
}

func describePods(pods []corev1.Pod) string {
	var out []string
	for i := range pods[:min(len(pods), maxPodsNamed)] {
		out = append(out, pods[i].Name+" "+Problem(&pods[i]))
	}
	if more := len(pods) - maxPodsNamed; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "; ")
}

// NotInstalled is Missing as one error.
func (c *Cluster) NotInstalled(ctx context.Context) error {
	remedy, missing := c.Missing(ctx)
	return fmt.Errorf("%w: %s", missing, remedy)
}

// Missing is the error that there is no installation, and what to do: it looks for one elsewhere in the cluster.
func (c *Cluster) Missing(ctx context.Context) (remedy string, missing error) {
	missing = fmt.Errorf("%w: no pods of release %s in namespace %s of %s", ErrNotInstalled, c.Release, c.Namespace, c)
	var list corev1.PodList
	labels := client.MatchingLabels{nameLabel: product, componentLabel: string(Proxy)}
	if err := c.client.List(ctx, &list, labels); err != nil || len(list.Items) == 0 {
		return "install it (" + c.helm("install", "--create-namespace --wait --set cluster=NAME") + "), or name its namespace and release", missing
	}
	found := list.Items[0]
	return fmt.Sprintf("release %s is in namespace %s: name them", found.Labels[instanceLabel], found.Namespace), missing
}

// HelmSet is the command that changes a value of the installation's chart, NAME=VALUE.
func (c *Cluster) HelmSet(value string) string {
	return c.helm("upgrade", "--reuse-values --set "+value)
}

func (c *Cluster) helm(verb, options string) string {
	command := fmt.Sprintf("helm %s %s charts/eastway -n %s %s", verb, c.Release, c.Namespace, options)
	if c.Context != "" {
		command += " --kube-context " + c.Context
	}
	return command
}

// oneLine keeps what others wrote to one line, and short enough to read.
func oneLine(s string) string {
	const most = 300 // bytes
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
