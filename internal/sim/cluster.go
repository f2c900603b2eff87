package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
	"github.com/eastway/eastway/internal/sim/pattern"
	"github.com/eastway/eastway/internal/sim/pki"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// cluster is one cluster: what its API server knows, its proxies, its apps and where its callers are.
type cluster struct {
	w       *world
	index   int
	name    string
	region  string
	proxies []*proxy
	apps    []*app
	callers [zones]*simnet.Host
	busy    claim

	mu       sync.Mutex
	exported []bool                      // by service
	policy   *v1alpha1.TrafficPolicySpec // of all services; nil: none
	roots    []int                       // generations in the trust bundle
	issuing  int                         // generation that SVIDs come from
	serial   int                         // of the newest SVID
	edits    int                         // how often the catalog has changed
}

// tunnelPort is where a proxy listens for tunnels at first.
const tunnelPort = 15443

// watchLag is the longest time after which a proxy sees a change of its cluster's catalog.
const watchLag = 200 * time.Millisecond

func serviceName(i int) discovery.ServiceName {
	return discovery.ServiceName{Namespace: "sim", Name: fmt.Sprintf("s%d", i)}
}

// servicePort is where a proxy listens for a service, and the service's own port.
func servicePort(service int, greeted bool) uint16 {
	port := uint16(9000 + 2*service)
	if greeted {
		port++
	}
	return port
}

// door is a port of a service, and where its endpoints listen for it.
type door struct {
	port, target uint16
	http         bool
}

func (w *world) doors(service int) []door {
	doors := []door{{servicePort(service, false), appPort, false}, {servicePort(service, true), greetedPort, false}}
	if w.web() {
		doors = append(doors, door{webPort(service), webAppPort, true})
	}
	return doors
}

func (c *cluster) zone(i int) discovery.Locality {
	return discovery.Locality{Region: c.region, Zone: fmt.Sprintf("%s-%s-z%d", c.region, c.name, i)}
}

// changed has all proxies of the cluster see the catalog, each in its own time.
func (c *cluster) changed(edit func()) {
	c.mu.Lock()
	edit()
	c.edits++
	n := c.edits
	c.mu.Unlock()
	for _, p := range c.proxies {
		lag := time.Duration(pattern.Mix(c.w.plan.Seed^uint64(n)<<8^uint64(p.index)) % uint64(watchLag))
		time.AfterFunc(lag, p.readCatalog)
	}
}

func (c *cluster) setPolicy(p *v1alpha1.TrafficPolicySpec) { c.changed(func() { c.policy = p }) }

// local is the catalog as the proxy reads it from the API server.
func (c *cluster) local(p *proxy) discovery.Local {
	peers := make(map[string]*discovery.Peer)
	for _, o := range c.w.clusters {
		if o != c {
			peers[o.name] = c.peer(o)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	services := make(map[discovery.ServiceName]*discovery.Service)
	for i := range c.w.plan.Services {
		services[serviceName(i)] = c.serviceLocked(i, p)
	}
	l := discovery.Local{Services: hashtrie.Of(services), Peers: peers}
	if c.policy != nil {
		policies := make(map[discovery.ServiceName]*v1alpha1.TrafficPolicySpec)
		for name := range services {
			policies[name] = c.policy
		}
		l.Policies = hashtrie.Of(policies)
	}
	for z, h := range c.callers {
		l.Networks = append(l.Networks, discovery.Network{Prefix: netip.PrefixFrom(h.Addr(), 32), Locality: c.zone(z)})
	}
	slices.SortFunc(l.Networks, func(a, b discovery.Network) int { return a.Prefix.Addr().Compare(b.Prefix.Addr()) })
	return l
}

func (c *cluster) serviceLocked(i int, p *proxy) *discovery.Service {
	s := &discovery.Service{Name: serviceName(i), Endpoints: make(map[uint16][]discovery.Endpoint)}
	for _, d := range c.w.doors(i) {
		port := d.port
		s.Ports = append(s.Ports, discovery.ServicePort{Port: port, Protocol: discovery.TCP, HTTP: d.http})
		s.Listeners = append(s.Listeners, discovery.Listener{Address: netip.AddrPortFrom(p.host.Addr(), port), Port: port})
		for _, a := range c.apps {
			if a.service != i || !a.listed {
				continue
			}
			s.Endpoints[port] = append(s.Endpoints[port], discovery.Endpoint{
				Address: netip.AddrPortFrom(a.host.Addr(), d.target), Locality: a.locality,
				Ready: a.ready && !a.terminating, Terminating: a.terminating,
			})
		}
		slices.SortFunc(s.Endpoints[port], func(a, b discovery.Endpoint) int {
			return cmp.Or(a.Address.Addr().Compare(b.Address.Addr()), cmp.Compare(a.Address.Port(), b.Address.Port()))
		})
	}
	if c.exported[i] {
		s.Export = &discovery.Export{}
	}
	return s
}

// identity is what the Peers of other clusters have of this one.
type identity struct {
	roots []int
	ports []uint16 // of the proxies' tunnels
}

func (c *cluster) identity() identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := identity{roots: c.roots}
	for _, p := range c.proxies {
		id.ports = append(id.ports, p.port)
	}
	return id
}

// peer is the Peer manifest of another cluster.
func (c *cluster) peer(o *cluster) *discovery.Peer {
	id := o.identity()
	spec := v1alpha1.PeerSpec{SPIFFEID: pki.ClusterID(o.name).String(), TrustBundle: o.bundle(id.roots)}
	if c.w.plan.Dials[c.index][o.index] {
		for i, p := range o.proxies {
			spec.Addresses = append(spec.Addresses, netip.AddrPortFrom(p.host.Addr(), id.ports[i]).String())
		}
	}
	return &discovery.Peer{Name: o.name, Spec: spec}
}

// bundle is a trust bundle of the cluster.
func (c *cluster) bundle(roots []int) string {
	var pem []byte
	for _, generation := range roots {
		ca, err := c.w.keys.Root(c.name, generation)
		if err != nil {
			panic(err) // names are ours
		}
		b, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
		if err != nil {
			panic(err)
		}
		pem = append(pem, b...)
	}
	return string(pem)
}

// proxyFor is the proxy that a caller is led to: one that is ready, as far as the node agent has noticed.
func (c *cluster) proxyFor(r *rand.Rand) *proxy {
	var ready []*proxy
	for _, p := range c.proxies {
		if p.believedReady() {
			ready = append(ready, p)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	return ready[r.IntN(len(ready))]
}
