package identity

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/peering"
)

// maxNodes is how many addresses of nodes are named: one that answers is enough, and a Peer may have v1alpha1.MaxPeerAddresses.
const maxNodes = 8

// excludedNodeLabel keeps a node out of external load balancers; then it is no address for tunnels either.
const excludedNodeLabel = corev1.LabelNodeExcludeBalancers

// publicAddresses are HOST:PORT pairs at which peers reach the tunnel Services, and where they were found. Load balancers count
// before external IPs, these before node ports; the best that any of the Services has.
func publicAddresses(services []*corev1.Service, nodes []corev1.Node) (addresses []string, from string) {
	for _, way := range []struct {
		from string
		find func(*corev1.Service, []corev1.Node) []string
	}{{peering.FromLoadBalancer, balanced}, {peering.FromExternalIPs, external}, {peering.FromNodePorts, nodePorts}} {
		for _, s := range services {
			addresses = append(addresses, way.find(s, nodes)...)
		}
		if len(addresses) > 0 {
			return bounded(addresses), way.from
		}
	}
	return nil, peering.FromNowhere
}

// bounded drops what is there twice, such as the same port for TCP and UDP, and what is too much.
func bounded(addresses []string) []string {
	var out []string
	for _, a := range addresses {
		if !slices.Contains(out, a) && len(out) < v1alpha1.MaxPeerAddresses {
			out = append(out, a)
		}
	}
	return out
}

func join(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

func balanced(s *corev1.Service, _ []corev1.Node) []string {
	var out []string
	for _, in := range s.Status.LoadBalancer.Ingress {
		host := in.IP
		if host == "" {
			host = strings.TrimSuffix(in.Hostname, ".")
		}
		if host == "" {
			continue
		}
		for _, p := range s.Spec.Ports {
			out = append(out, join(host, p.Port))
		}
	}
	return out
}

func external(s *corev1.Service, _ []corev1.Node) []string {
	var out []string
	for _, ip := range s.Spec.ExternalIPs {
		for _, p := range s.Spec.Ports {
			out = append(out, join(ip, p.Port))
		}
	}
	return out
}

func nodePorts(s *corev1.Service, nodes []corev1.Node) []string {
	var out []string
	for _, host := range NodeAddresses(nodes, s.Spec.IPFamilies) {
		for _, p := range s.Spec.Ports {
			if p.NodePort > 0 {
				out = append(out, join(host, p.NodePort))
			}
		}
	}
	return out
}

// NodeAddresses are the first addresses of each family of some ready nodes, spread over zones: of each family external ones if
// any node has one.
func NodeAddresses(nodes []corev1.Node, families []corev1.IPFamily) []string {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool {
		_, excluded := n.Labels[excludedNodeLabel]
		return excluded || !ready(&n) || !n.DeletionTimestamp.IsZero()
	})
	slices.SortFunc(nodes, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	nodes = spread(nodes)
	var out []string
	for _, f := range families {
		found := firstAddresses(nodes, corev1.NodeExternalIP, f)
		if len(found) == 0 {
			found = firstAddresses(nodes, corev1.NodeInternalIP, f)
		}
		out = append(out, found[:min(len(found), maxNodes/len(families))]...)
	}
	slices.Sort(out) // the order has no meaning, and must not change when a node is replaced
	return out
}

func firstAddresses(nodes []corev1.Node, kind corev1.NodeAddressType, f corev1.IPFamily) []string {
	var out []string
	for i := range nodes {
		at := slices.IndexFunc(nodes[i].Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == kind && family(a.Address) == f })
		if at >= 0 {
			out = append(out, nodes[i].Status.Addresses[at].Address)
		}
	}
	return out
}

// family of an address, "" if it is none.
func family(address string) corev1.IPFamily {
	parsed, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return corev1.IPFamilyUnknown
	case parsed.Is4():
		return corev1.IPv4Protocol
	default:
		return corev1.IPv6Protocol
	}
}

// spread takes the nodes zone by zone, round robin.
func spread(nodes []corev1.Node) []corev1.Node {
	byZone := map[string][]corev1.Node{}
	var zones []string
	for i := range nodes {
		zone := nodes[i].Labels[corev1.LabelTopologyZone]
		if byZone[zone] == nil {
			zones = append(zones, zone)
		}
		byZone[zone] = append(byZone[zone], nodes[i])
	}
	slices.Sort(zones)
	out := make([]corev1.Node, 0, len(nodes))
	for turn := 0; len(out) < len(nodes); turn++ {
		for _, z := range zones {
			if turn < len(byZone[z]) {
				out = append(out, byZone[z][turn])
			}
		}
	}
	return out
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
