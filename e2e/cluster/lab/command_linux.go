package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Command is a program of this computer to be run in the node's network, on
// behalf of the caller, who starts it.
func (n *Node) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if err := n.cluster.ours("run programs on its nodes"); err != nil {
		return &exec.Cmd{Err: err}
	}
	return CommandIn(ctx, n.machine, name, args...)
}

// Command is a program of this computer to be run in the network of the site's
// gateway, through which all goes that comes from other sites or goes there.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if err := c.ours("run programs at its gateway"); err != nil {
		return &exec.Cmd{Err: err}
	}
	return CommandIn(ctx, c.site, name, args...)
}

// CommandIn is a program of this computer to be run in a machine's network. If
// the machine is nil, starting the command says so.
func CommandIn(ctx context.Context, m *machine.Machine, name string, args ...string) *exec.Cmd {
	if m == nil {
		return &exec.Cmd{Err: errors.New("lab: the machine is off")}
	}
	args = append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", m.PID()), "--", name}, args...)
	return exec.CommandContext(ctx, "nsenter", args...)
}

// Kubectl is a call of kubectl for this cluster, which the caller starts: of the
// cluster's own version, or for clusters of the user's own the kubectl in PATH.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	program := "kubectl"
	if c.lab != nil {
		program = filepath.Join(c.lab.state.Kubernetes, program)
	}
	return exec.CommandContext(ctx, program, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
}

// run a command, with what it said in the error.
func run(command *exec.Cmd) error {
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, output)
	}
	return nil
}
