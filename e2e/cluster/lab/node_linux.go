package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Daemons of a node.
const (
	Containerd = "containerd"
	Kubelet    = "kubelet"
	KubeProxy  = "kube-proxy"
)

const (
	// zoneKnown is what kube-proxy prints when it has its node's zone.
	zoneKnown = "Updated proxier node topology labels"
	// kubeProxyStarts before it is given up.
	kubeProxyStarts = 5
)

const containerdSocket = "/run/containerd/containerd.sock"

// boot starts the node's machine up to where containers can be started.
func (n *Node) boot(ctx context.Context) (err error) {
	c := n.cluster
	if n.machine, err = c.lab.startMachine(ctx, n.Name, c.lab.state.Kubernetes); err != nil {
		return err
	}
	if err := c.plugIn(n.machine, n.port(), n.address); err != nil {
		return err
	}
	rules := filepath.Join(c.lab.etc(n.Name), "masquerade.nft")
	if output, err := n.Command(ctx, "nft", "-f", rules).CombinedOutput(); err != nil {
		return fmt.Errorf("lab: set the rules of %s: %w: %s", n.Name, err, output)
	}
	if err := runAll(ctx, n.machine, n.daemons()[0]); err != nil {
		return err
	}
	err = wait{
		what:  "containerd of " + n.Name + " to answer",
		limit: daemonTime,
		by:    []daemonRef{{n.machine, Containerd}},
		done:  func(ctx context.Context) error { return run(n.ctr(ctx, "version")) },
	}.run(ctx)
	if err != nil {
		return err
	}
	for _, archive := range c.lab.ownImages() {
		if err := n.loadImage(ctx, archive); err != nil {
			return err
		}
	}
	return nil
}

// address of a family.
func (n *Node) address(f family) netip.Addr {
	return n.cluster.lab.state.Plan.node(f, n.cluster.index, n.index)
}

// port is the name of the node's port at the site's bridge.
func (n *Node) port() string { return fmt.Sprintf("node-%d", n.index+1) }

// join starts what makes the machine a node, and returns when it is ready.
func (n *Node) join(ctx context.Context) error {
	began, daemons := time.Now(), n.daemons()
	if err := runAll(ctx, n.machine, daemons[1]); err != nil {
		return err
	}
	if err := n.awaitRegistered(ctx); err != nil {
		return err
	}
	if err := n.runKubeProxy(ctx, daemons[2]); err != nil {
		return err
	}
	return n.awaitReady(ctx, began)
}

// runKubeProxy starts kube-proxy until it says that it knows the zone of its node. kube-proxy (1.34 to 1.36) reads the Node before its rules
// are told of changes: if the Node comes between, it sends calls to all zones for as long as it runs.
func (n *Node) runKubeProxy(ctx context.Context, d machine.Daemon) error {
	var missing error
	for range kubeProxyStarts {
		log := n.machine.Log(d.Name)
		earlier, readErr := os.ReadFile(log) // of earlier starts
		if readErr != nil && !errors.Is(readErr, fs.ErrNotExist) {
			return fmt.Errorf("lab: read what kube-proxy of %s prints: %w", n.Name, readErr)
		}
		if err := runAll(ctx, n.machine, d); err != nil {
			return err
		}
		missing = wait{
			what:  "kube-proxy of " + n.Name + " to know its zone",
			limit: kubeProxyTime,
			by:    []daemonRef{{n.machine, KubeProxy}},
			done:  func(context.Context) error { return printed(log, len(earlier), zoneKnown) },
		}.run(ctx)
		if missing == nil || ctx.Err() != nil {
			return missing
		}
		if err := killDaemon(ctx, n.machine, d.Name); err != nil {
			return err
		}
	}
	return missing
}

// printed returns nil if a log has a text after an offset.
func printed(log string, offset int, text string) error {
	all, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	if !bytes.Contains(all[min(offset, len(all)):], []byte(text)) {
		return fmt.Errorf("it has not printed %q", text)
	}
	return nil
}

// awaitRegistered returns when the API server has the node.
func (n *Node) awaitRegistered(ctx context.Context) error {
	clients, err := n.cluster.Clients()
	if err != nil {
		return err
	}
	return wait{
		what:  "node " + n.Name + " to be registered",
		limit: nodeTime,
		by:    []daemonRef{{n.machine, Kubelet}, {n.machine, Containerd}},
		done: func(ctx context.Context) error {
			_, err := clients.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			return err
		},
	}.run(ctx)
}

// daemons of the node, in the order in which they are started.
func (n *Node) daemons() []machine.Daemon {
	c := n.cluster
	return []machine.Daemon{
		{Name: Containerd, Args: []string{
			Containerd, "--config", inEtc("containerd.toml"), "--log-level", "warn",
		}},
		{Name: Kubelet, Args: []string{
			Kubelet,
			"--config=" + inEtc("kubelet.json"),
			"--kubeconfig=" + inEtc("kubelet.kubeconfig"),
			"--hostname-override=" + n.Name,
			"--node-ip=" + each(c.families, n.address),
			fmt.Sprintf("--node-labels=%s=%s,%s=%s", corev1.LabelTopologyRegion, c.Region, corev1.LabelTopologyZone, n.Zone),
		}},
		{Name: KubeProxy, Args: []string{
			KubeProxy,
			"--kubeconfig=" + inEtc("kube-proxy.kubeconfig"),
			"--hostname-override=" + n.Name,
			"--proxy-mode=" + c.lab.state.Config.KubeProxyMode,
			"--cluster-cidr=" + each(c.families, func(f family) netip.Prefix { return f.network().pods }),
			"--oom-score-adj=0",
			"--vmodule=proxier=4", // for zoneKnown
			// These sysctls are the computer's.
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
		}},
	}
}

// awaitReady returns when the node has said after a time that it is ready: what
// it said before it was lost stays with the API server for a while.
func (n *Node) awaitReady(ctx context.Context, after time.Time) error {
	clients, err := n.cluster.Clients()
	if err != nil {
		return err
	}
	return wait{
		what:  "node " + n.Name + " to be ready",
		limit: nodeTime,
		by:    []daemonRef{{n.machine, Kubelet}, {n.machine, KubeProxy}, {n.machine, Containerd}},
		done: func(ctx context.Context) error {
			node, err := clients.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			for _, condition := range node.Status.Conditions {
				if condition.Type != corev1.NodeReady {
					continue
				}
				if condition.LastHeartbeatTime.Time.Before(after.Truncate(time.Second)) { // API times have whole seconds
					return fmt.Errorf("not heard of since %v", condition.LastHeartbeatTime)
				}
				if condition.Status == corev1.ConditionTrue {
					return nil
				}
				return errors.New(condition.Message)
			}
			return errors.New("it has no condition Ready")
		},
	}.run(ctx)
}
