package lab

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// etc is the folder in which a machine looks for its files.
func (l *Lab) etc(machineName string) string {
	return filepath.Join(l.dir, machineName, machine.EtcFolder)
}

// up brings one cluster up.
func (c *Cluster) up(ctx context.Context) error {
	if err := c.startSite(ctx); err != nil {
		return err
	}
	if err := c.startControl(ctx); err != nil {
		return err
	}
	group, groupContext := errgroup.WithContext(ctx)
	group.Go(func() error { return c.startAPI(groupContext) })
	for _, n := range c.Nodes { // their containerds take their images meanwhile
		group.Go(func() error { return n.boot(groupContext) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, groupContext = errgroup.WithContext(ctx)
	group.Go(func() error { return c.startControllers(groupContext) })
	group.Go(func() error { return c.addOns(groupContext) })
	for _, n := range c.Nodes {
		group.Go(func() error { return n.join(groupContext) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.lab.printf("%s: nodes are ready\n", c.Name)
	if err := c.awaitDNS(ctx); err != nil {
		return err
	}
	c.lab.printf("%s: CoreDNS is ready\n", c.Name)
	return nil
}

// startSite makes the cluster's network: a bridge for its machines, behind a
// gateway to the internet.
func (c *Cluster) startSite(ctx context.Context) (err error) {
	l, p := c.lab, c.lab.state.Plan
	if c.site, err = l.startMachine(ctx, c.siteName(), l.ownPrograms()); err != nil {
		return err
	}
	var inside, outside []netip.Prefix
	for _, f := range c.families {
		inside = append(inside, netip.PrefixFrom(p.gateway(f, c.index), f.bits()))
		outside = append(outside, netip.PrefixFrom(p.outside(f, c.index), f.bits()))
	}
	if err := addBridge(c.site, inside...); err != nil {
		return err
	}
	if err := (wire{bridge: l.internet, port: c.Name, to: c.site, device: devOutside, addresses: outside}).lay(); err != nil {
		return err
	}
	return within(c.site, func() error {
		for _, f := range c.families {
			if err := c.routeOutside(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// routeOutside gives the gateway its routes to other sites.
func (c *Cluster) routeOutside(f family) error {
	p := c.lab.state.Plan
	for _, other := range c.lab.Clusters {
		if other == c || !slices.Contains(other.families, f) {
			continue
		}
		if err := addRoute(p.site(f, other.index), p.outside(f, other.index), viaInternet); err != nil {
			return err
		}
	}
	// A pod's or service's address means nothing out here.
	for _, network := range []netip.Prefix{f.network().pods, f.network().services} {
		if err := refuse(network); err != nil {
			return err
		}
	}
	return nil
}

// plugIn connects a machine with the site and its pods' networks.
func (c *Cluster) plugIn(m *machine.Machine, port string, address func(f family) netip.Addr) error {
	p := c.lab.state.Plan
	w := wire{bridge: c.site, port: port, to: m, device: devNode}
	for _, f := range c.families {
		w.addresses = append(w.addresses, netip.PrefixFrom(address(f), f.bits()))
	}
	if err := w.lay(); err != nil {
		return err
	}
	return within(m, func() error {
		for _, f := range c.families {
			if err := addRoute(f.anywhere(), p.gateway(f, c.index), 0); err != nil {
				return err
			}
			for _, n := range c.Nodes {
				if n.address(f) == address(f) {
					continue
				}
				if err := addRoute(f.nodePods(n.index), n.address(f), 0); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// writeFiles makes all files of all clusters' machines, and the kubeconfigs.
func (l *Lab) writeFiles() error {
	var all []access
	for _, c := range l.Clusters {
		admin, err := c.writeFiles()
		if err != nil {
			return err
		}
		all = append(all, admin)
	}
	return writeKubeconfig(l.Kubeconfig, all...)
}

// writeFiles makes keys, certificates and settings of all machines.
func (c *Cluster) writeFiles() (admin access, err error) {
	ca, err := newAuthority(c.Name)
	if err != nil {
		return admin, err
	}
	if err := c.writeControlFiles(ca); err != nil {
		return admin, err
	}
	if err := c.writeBalancerFiles(ca); err != nil {
		return admin, err
	}
	if err := c.writeMetricsFiles(ca); err != nil {
		return admin, err
	}
	for _, n := range c.Nodes {
		if err := n.writeFiles(ca); err != nil {
			return admin, err
		}
	}
	if admin, err = c.access(ca, "eastway-lab", "system:masters"); err != nil {
		return admin, err
	}
	return admin, writeKubeconfig(c.Kubeconfig, admin)
}

// access to the cluster's API server for a user.
func (c *Cluster) access(ca *authority, user string, groups ...string) (access, error) {
	pair, err := ca.issue(user, groups)
	return access{context: c.Name, server: c.APIServer, trust: ca.bundle(), user: pair}, err
}

// runAll starts daemons on a machine.
func runAll(ctx context.Context, m *machine.Machine, daemons ...machine.Daemon) error {
	for _, d := range daemons {
		if err := m.Run(ctx, d); err != nil {
			return fmt.Errorf("lab: start %s on %s: %w", d.Name, m.Name(), err)
		}
	}
	return nil
}
