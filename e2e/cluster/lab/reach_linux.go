package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/eastway/eastway/e2e/wan/link"
)

// Reach is how a site is joined to the others. This computer reaches every site all the time.
type Reach string

// The kinds of reach.
const (
	// Public: the nodes can be reached from anywhere, and the addresses of load balancers.
	Public Reach = "public"
	// Private: as behind an office's router. Connections go out, with the
	// gateway's address; those that come in are dropped, and so nothing of the
	// site can be reached from outside.
	Private Reach = "private"
	// Silent: every packet from or to other sites is dropped, as if the cable had been cut.
	Silent Reach = "silent"
)

// rules of the gateway for its reach. Device names distinguish inside and outside; a
// line of an emulated WAN is outside as well. Load balancers' addresses change
// to nodes' before any of this.
func (r Reach) rules(f family, self netip.Addr) (string, error) {
	const inward = `iifname != "` + devBridge + `" FAMILY saddr != COMPUTER `
	const outward = `oifname != "` + devBridge + `" FAMILY daddr != COMPUTER `
	var forward, leave string
	switch r {
	case Public:
	case Private:
		forward = inward + "ct direction original drop"
		leave = outward + "masquerade"
	case Silent:
		forward = inward + "drop\n\t\t" + outward + "drop"
	default:
		return "", fmt.Errorf("lab: a site cannot be %q, but %s, %s or %s", r, Public, Private, Silent)
	}
	return strings.NewReplacer("FAMILY", f.nft(), "COMPUTER", self.String()).Replace(`table FAMILY reach {}
delete table FAMILY reach
table FAMILY reach {
	chain forward {
		type filter hook forward priority filter; policy accept;
		` + forward + `
	}
	chain leave {
		type nat hook postrouting priority srcnat; policy accept;
		` + leave + `
	}
}
`), nil
}

// SetReach changes how the cluster's site is joined to the others; it is Public
// at first. Connections that are open are subject to it at once.
func (c *Cluster) SetReach(ctx context.Context, r Reach) error {
	if err := c.ours("change how it is reached"); err != nil {
		return err
	}
	var all strings.Builder
	for _, f := range c.families {
		rules, err := r.rules(f, c.lab.state.Plan.self(f))
		if err != nil {
			return err
		}
		all.WriteString(rules)
	}
	nft := c.Command(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(all.String())
	if err := run(nft); err != nil {
		return fmt.Errorf("lab: make %s %s: %w", c.Name, r, err)
	}
	return nil
}

// Line is an emulated WAN (package link) between the sites of two clusters, for
// the caller to open and run: while it is open, their packets take it instead of
// the bridge; those of IPv6 are not led over it. Delay, loss and so on are the caller's to set.
func (l *Lab) Line(a, b *Cluster) (link.Config, error) {
	for _, c := range []*Cluster{a, b} {
		if err := c.ours("join it by an emulated line"); err != nil {
			return link.Config{}, err
		}
		if !slices.Contains(c.families, ipv4) {
			return link.Config{}, fmt.Errorf("lab: %s has no IPv4, which emulated lines lead", c.Name)
		}
		if c.site == nil {
			return link.Config{}, fmt.Errorf("lab: the gateway of %s is off", c.Name)
		}
	}
	p := l.state.Plan
	end := func(own, other *Cluster, host byte) link.End {
		// Each pair has a /30 of a documentation range, which is routed nowhere.
		number := byte(min(a.index, b.index)*maxClusters + max(a.index, b.index)) // less than 36
		return link.End{
			Namespace: fmt.Sprintf("/proc/%d/ns/net", own.site.PID()),
			Device:    fmt.Sprintf("line%d%d", a.index+1, b.index+1),
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, number<<2 + host}), 30)},
			Routes:    []netip.Prefix{p.site(ipv4, other.index)},
		}
	}
	return link.Config{A: end(a, b, 1), B: end(b, a, 2)}, nil
}
