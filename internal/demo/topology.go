package demo

import (
	"net/netip"
	"slices"
	"strings"
)

// Roles of the processes of a zone. The applications call each other in this order.
const (
	roleProxy1 = "proxy-1"
	roleProxy2 = "proxy-2"
	roleMocka  = "mocka"
	roleMockb  = "mockb"
	roleMockc  = "mockc"
)

// Ports, the same on every address; all lie below the range of ephemeral ports.
const (
	portApp    = 8000  // the applications, and the cluster IPs of their services
	portTunnel = 7443  // tunnels of a proxy, TCP and UDP
	portAdmin  = 15000 // admin listener of a proxy
)

// Last octets of a zone's addresses 127.CLUSTER.ZONE.x.
const (
	hostFirstProxy = 1
	hostCaller     = 10 // where the load comes from
	hostFirstApp   = 11 // mocka, mockb, mockc
	hostFirstVIP   = 21 // where the first proxy listens for them, the same order
	vipsPerProxy   = 10 // the second proxy listens so many addresses further
	namespace      = "default"
	homeCluster    = "cn-hangzhou" // where the faults of services happen
	foreignCluster = "ap-northeast-1"
)

// chain is the order in which the applications call each other.
func chain() []string { return []string{roleMocka, roleMockb, roleMockc} }

// proxyRoles are the proxies of each zone.
func proxyRoles() []string { return []string{roleProxy1, roleProxy2} }

// zoneRoles are all processes of a zone.
func zoneRoles() []string { return append(proxyRoles(), chain()...) }

func isProxy(role string) bool { return slices.Contains(proxyRoles(), role) }

// topology is what exists and where; base is the second octet of the first cluster's addresses.
type topology struct {
	base     byte
	clusters []cluster
}

type cluster struct {
	name   string
	region string
	zones  []zone
}

type zone struct {
	cluster string
	region  string
	name    string
	net     [2]byte // second and third octet
}

func newTopology(base byte) topology {
	t := topology{base: base}
	for i, c := range []struct {
		name  string
		zones []string
	}{
		{homeCluster, []string{"cn-hangzhou-h", "cn-hangzhou-k"}},
		{foreignCluster, []string{"ap-northeast-1a", "ap-northeast-1b"}},
	} {
		made := cluster{name: c.name, region: c.name}
		for j, z := range c.zones {
			made.zones = append(made.zones, zone{
				cluster: c.name, region: c.name, name: z, net: [2]byte{base + byte(i), byte(j + 1)},
			})
		}
		t.clusters = append(t.clusters, made)
	}
	return t
}

func (t topology) zones() []zone {
	var zones []zone
	for _, c := range t.clusters {
		zones = append(zones, c.zones...)
	}
	return zones
}

func (t topology) cluster(name string) cluster {
	for _, c := range t.clusters {
		if c.name == name {
			return c
		}
	}
	return cluster{}
}

// named are the zones of these names.
func (t topology) named(names []string) []zone {
	return slices.DeleteFunc(t.zones(), func(z zone) bool { return !slices.Contains(names, z.name) })
}

// clusterOf is the cluster of a zone, "" for a zone that does not exist.
func (t topology) clusterOf(zoneName string) string {
	for _, z := range t.zones() {
		if z.name == zoneName {
			return z.cluster
		}
	}
	return ""
}

// zoneNames are those of one cluster, in order.
func (c cluster) zoneNames() []string {
	names := make([]string, 0, len(c.zones))
	for _, z := range c.zones {
		names = append(names, z.name)
	}
	return names
}

func (z zone) addr(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, z.net[0], z.net[1], byte(host)}) // below 256, see above
}

// tunnel is where one of the zone's proxies listens for peers.
func (z zone) tunnel(proxy string) netip.AddrPort {
	return netip.AddrPortFrom(z.addr(hostFirstProxy+slices.Index(proxyRoles(), proxy)), portTunnel)
}

// admin is the admin listener of one of the zone's proxies.
func (z zone) admin(proxy string) netip.AddrPort {
	return netip.AddrPortFrom(z.addr(hostFirstProxy+slices.Index(proxyRoles(), proxy)), portAdmin)
}

// app is where the application itself listens.
func (z zone) app(role string) netip.AddrPort {
	return netip.AddrPortFrom(z.addr(hostFirstApp+appIndex(role)), portApp)
}

// vip is where one of the zone's proxies listens for an application's service.
func (z zone) vip(proxy, role string) netip.AddrPort {
	host := hostFirstVIP + vipsPerProxy*slices.Index(proxyRoles(), proxy) + appIndex(role)
	return netip.AddrPortFrom(z.addr(host), portApp)
}

// process names one process: ZONE-ROLE.
func (z zone) process(role string) string { return z.name + "-" + role }

// short is the zone's name without the part that its region has: "h", "1a".
func (z zone) short() string {
	shared := z.region
	if i := strings.LastIndexByte(shared, '-'); i >= 0 && !strings.HasPrefix(z.name, shared+"-") {
		shared = shared[:i]
	}
	return strings.TrimPrefix(strings.TrimPrefix(z.name, shared), "-")
}

func appIndex(role string) int {
	for i, r := range chain() {
		if r == role {
			return i
		}
	}
	return 0
}

// proxyAt names the process of the proxy that listens for a service on that address, "" if none does.
func (t topology) proxyAt(address string) string {
	for _, z := range t.zones() {
		for _, proxy := range proxyRoles() {
			for _, role := range chain() {
				if z.vip(proxy, role).String() == address {
					return z.process(proxy)
				}
			}
		}
	}
	return ""
}

// upstreamOf is the application that an application calls, "" for the last one.
func upstreamOf(role string) string {
	apps := chain()
	if i := appIndex(role); i+1 < len(apps) {
		return apps[i+1]
	}
	return ""
}
