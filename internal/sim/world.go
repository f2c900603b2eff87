package sim

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/sim/leak"
	"github.com/eastway/eastway/internal/sim/pki"
	"github.com/eastway/eastway/internal/sim/record"
	"github.com/eastway/eastway/internal/sim/simnet"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

// world is one run of a plan. It lives in one bubble.
type world struct {
	plan     *Plan
	keys     *pki.PKI
	ctx      context.Context //nolint:containedctx // the world's own life
	net      *simnet.Network
	memory   *mem.Network // of tunnels, where the plan says so
	clusters []*cluster
	truth    *truth
	findings *findings
	ledger   *ledger
	access   *record.AccessLog
	trace    *record.Trace
	start    time.Time // of the traffic
	wg       sync.WaitGroup
	faults   sync.WaitGroup
	injected map[string]int
	parts    *leak.Memory // of processes
}

// newWorld builds the world; nothing runs yet.
func newWorld(ctx context.Context, p *Plan, keys *pki.PKI, to io.Writer) *world {
	f := &findings{exceptions: make(map[string]int)}
	w := &world{
		plan: p, keys: keys, ctx: ctx, net: simnet.New(p.Seed, p.WAN),
		truth: newTruth(), findings: f, ledger: newLedger(f),
		memory: mem.NewNetwork(), access: record.NewAccessLog(), trace: record.NewTrace(to),
		injected: make(map[string]int), parts: leak.NewMemory(),
	}
	for i := range p.Clusters {
		w.clusters = append(w.clusters, w.newCluster(i))
	}
	for _, c := range w.clusters { // the network is wide by default
		hosts := c.hosts()
		for _, a := range hosts {
			for _, b := range hosts {
				w.net.SetPath(a.Addr(), b.Addr(), p.LAN)
			}
		}
	}
	return w
}

// web is true when services have an HTTP port.
func (w *world) web() bool { return len(w.plan.Clients) > 0 }

func (w *world) newCluster(i int) *cluster {
	plan := &w.plan.Clusters[i]
	c := &cluster{w: w, index: i, name: fmt.Sprintf("c%d", i), region: plan.Region, roots: []int{0}}
	host := func(net, n int) *simnet.Host {
		return w.net.Host(netip.AddrFrom4([4]byte{10, byte(i), byte(net), byte(n + 1)}))
	}
	for z := range c.callers {
		c.callers[z] = host(0, z)
	}
	for n := range plan.Proxies {
		c.proxies = append(c.proxies, &proxy{w: w, cluster: c, index: n, name: fmt.Sprintf("%sp%d", c.name, n), host: host(1, n), port: tunnelPort})
	}
	for s, count := range plan.Apps {
		c.exported = append(c.exported, count >= 0)
		for n := range count {
			a := &app{
				w: w, cluster: c, name: fmt.Sprintf("%ss%da%d", c.name, s, n), service: s, host: host(2+s, n),
				locality: c.zone(n % zones), listed: true, ready: true,
			}
			if w.web() {
				a.web = &webServer{app: a}
			}
			c.apps = append(c.apps, a)
		}
	}
	return c
}

func (c *cluster) hosts() []*simnet.Host {
	hosts := c.callers[:]
	for _, p := range c.proxies {
		hosts = append(hosts, p.host)
	}
	for _, a := range c.apps {
		hosts = append(hosts, a.host)
	}
	return hosts
}

// pass lets time pass: that of the bubble.
func pass(d time.Duration) { <-time.After(d) }

// startAll starts apps, then proxies.
func (w *world) startAll() {
	for _, c := range w.clusters {
		for _, a := range c.apps {
			a.start()
		}
	}
	for _, p := range w.proxies() {
		p.start()
	}
}

func (w *world) proxies() []*proxy {
	var all []*proxy
	for _, c := range w.clusters {
		all = append(all, c.proxies...)
	}
	return all
}

func (w *world) apps() []*app {
	var all []*app
	for _, c := range w.clusters {
		all = append(all, c.apps...)
	}
	return all
}
