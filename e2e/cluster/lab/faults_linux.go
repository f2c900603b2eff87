package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Kill the node as if it lost its power: its address does not answer any more,
// everything on it ends at once and only its disk remains. Not safe for
// concurrent use with other calls for this node.
func (n *Node) Kill(ctx context.Context) error {
	if err := n.cluster.ours("kill its nodes"); err != nil {
		return err
	}
	if n.machine == nil {
		return nil
	}
	// First the cable: connections are not closed, and the kernel goes on answering
	// for a dead machine until it gets to removing its network.
	if err := within(n.cluster.site, func() error { return removeDevice(n.port()) }); err != nil {
		return err
	}
	if err := n.machine.Kill(ctx); err != nil {
		return err
	}
	n.machine = nil
	return removeCgroups(ctx, n.cluster.lab.dir+"/"+n.Name)
}

// Start the node again, and return when it is ready.
func (n *Node) Start(ctx context.Context) error {
	if err := n.cluster.ours("start its nodes"); err != nil {
		return err
	}
	if n.machine != nil {
		return fmt.Errorf("lab: start %s: it runs", n.Name)
	}
	if err := n.boot(ctx); err != nil {
		return err
	}
	return n.join(ctx)
}

// Signal a daemon of the node: Containerd, Kubelet or KubeProxy.
func (n *Node) Signal(ctx context.Context, daemon string, signal syscall.Signal) error {
	m, err := n.running("signal its daemons")
	if err != nil {
		return err
	}
	return m.Signal(ctx, daemon, signal)
}

// StopDaemon kills a daemon of the node (SIGKILL) and returns when it is gone.
func (n *Node) StopDaemon(ctx context.Context, daemon string) error {
	m, err := n.running("stop its daemons")
	if err != nil {
		return err
	}
	return killDaemon(ctx, m, daemon)
}

// StartDaemon starts a daemon of the node that was stopped.
func (n *Node) StartDaemon(ctx context.Context, daemon string) error {
	m, err := n.running("start its daemons")
	if err != nil {
		return err
	}
	all := n.daemons()
	i := slices.IndexFunc(all, func(d machine.Daemon) bool { return d.Name == daemon })
	if i < 0 {
		return fmt.Errorf("lab: a node has no daemon %q", daemon)
	}
	if daemon == KubeProxy {
		return n.runKubeProxy(ctx, all[i])
	}
	return m.Run(ctx, all[i])
}

func (n *Node) running(what string) (*machine.Machine, error) {
	if err := n.cluster.ours(what); err != nil {
		return nil, err
	}
	if n.machine == nil {
		return nil, fmt.Errorf("lab: %s is off", n.Name)
	}
	return n.machine, nil
}

// SignalContainer sends a signal to the first process of a pod's container, as
// no API does: SIGKILL without any grace, SIGSTOP for one that hangs.
func (c *Cluster) SignalContainer(ctx context.Context, namespace, pod, container string, signal syscall.Signal) error {
	if err := c.ours("signal its containers"); err != nil {
		return err
	}
	clients, err := c.Clients()
	if err != nil {
		return err
	}
	found, err := clients.CoreV1().Pods(namespace).Get(ctx, pod, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("lab: find the pod to signal: %w", err)
	}
	for _, n := range c.Nodes {
		if n.Name != found.Spec.NodeName {
			continue
		}
		for _, status := range found.Status.ContainerStatuses {
			if status.Name == container {
				id := strings.TrimPrefix(status.ContainerID, "containerd://")
				return run(n.ctr(ctx, "--namespace=k8s.io", "tasks", "kill", "--signal", fmt.Sprint(int(signal)), id))
			}
		}
	}
	return fmt.Errorf("lab: pod %s/%s has no container %s on a node of %s", namespace, pod, container, c.Name)
}
