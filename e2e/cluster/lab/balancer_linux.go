package lab

import (
	"context"
	"path/filepath"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// balancer is the daemon at a site's gateway that stands for a cloud's load
// balancers: the command of that name.
const balancer = "balancer"

func (c *Cluster) writeBalancerFiles(ca *authority) error {
	etc := c.lab.etc(c.siteName())
	user, err := ca.issue("lab-load-balancer", []string{"system:masters"})
	if err != nil {
		return err
	}
	if err := user.write(etc, balancer); err != nil {
		return err
	}
	return writeFile(filepath.Join(etc, "ca.crt"), ca.bundle())
}

func (c *Cluster) startBalancer(ctx context.Context) error {
	p, f := c.lab.state.Plan, c.families[0]
	return runAll(ctx, c.site, machine.Daemon{Name: balancer, Args: []string{
		balancer,
		"-server", c.APIServer,
		"-ca", inEtc("ca.crt"), "-certificate", inEtc(balancer + ".crt"), "-key", inEtc(balancer + ".key"),
		"-first", p.host(f, c.index+1, hostBalancerFirst).String(), "-last", p.host(f, c.index+1, hostBalancerLast).String(),
		"-site", p.site(f, c.index).String(), "-device", devBridge,
	}})
}

// StopBalancer kills what gives Services of type LoadBalancer their addresses and
// follows their nodes; what it has set up stays.
func (c *Cluster) StopBalancer(ctx context.Context) error {
	if err := c.ours("stop its load balancer"); err != nil {
		return err
	}
	return killDaemon(ctx, c.site, balancer)
}

// StartBalancer starts it again.
func (c *Cluster) StartBalancer(ctx context.Context) error {
	if err := c.ours("start its load balancer"); err != nil {
		return err
	}
	return c.startBalancer(ctx)
}
