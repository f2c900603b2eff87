package demo

import (
	"net/netip"
	"strings"
)

// Roles of the processes of a zone. The applications call each other in this order.
const (
	roleProxy = "proxy"
	roleMocka = "mocka"
	roleMockb = "mockb"
	roleMockc = "mockc"
)

// Ports, the same on every address; all lie below the range of ephemeral ports.
const (
	portApp    = 8000  // the applications, and the cluster IPs of their services
	portTunnel = 7443  // tunnels of a proxy, TCP and UDP
	portAdmin  = 15000 // admin listener of a proxy
)

// Last octets of a zone's addresses 127.CLUSTER.ZONE.x.
const (
	hostProxy      = 1
	hostFirstApp   = 11 // mocka, mockb, mockc
	hostFirstVIP   = 21 // their cluster IPs, the same order
	namespace      = "default"
	homeCluster    = "cn-hangzhou" // where the faults of services happen
	foreignCluster = "ap-northeast-1"
)

// chain is the order in which the applications call each other.
func chain() []string { return []string{roleMocka, roleMockb, roleMockc} }

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
	return netip.AddrFrom4([4]byte{127, z.net[0], z.net[1], byte(host)}) //nolint:gosec // below 256, see above
}

func (z zone) tunnel() netip.AddrPort { return netip.AddrPortFrom(z.addr(hostProxy), portTunnel) }
func (z zone) admin() netip.AddrPort  { return netip.AddrPortFrom(z.addr(hostProxy), portAdmin) }

// app is where the application itself listens.
func (z zone) app(role string) netip.AddrPort {
	return netip.AddrPortFrom(z.addr(hostFirstApp+appIndex(role)), portApp)
}

// vip is the cluster IP under which the zone's applications call it.
func (z zone) vip(role string) netip.AddrPort {
	return netip.AddrPortFrom(z.addr(hostFirstVIP+appIndex(role)), portApp)
}

// process names one process: ZONE-ROLE.
func (z zone) process(role string) string { return z.name + "-" + role }

// short is the zone without what its region's name already says: "h", "1a".
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

// upstreamOf is whom an application calls, "" for the last one.
func upstreamOf(role string) string {
	apps := chain()
	if i := appIndex(role); i+1 < len(apps) {
		return apps[i+1]
	}
	return ""
}
