package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/kubecli"
)

func (f *facts) peerStates(ctx context.Context) []Result {
	peers, err := f.getPeers(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(peers) == 0 {
		return one(warn("there are no peers yet").hint("eastway peer link --contexts THIS,OTHER"))
	}
	var results []Result
	for i := range peers {
		results = append(results, peerState(&peers[i]))
	}
	return results
}

func peerState(p *v1alpha1.Peer) Result {
	state := kubecli.ConnectionOf(p)
	if !state.Connected {
		return fail("peer %s is %s", p.Name, state.Summary).hint("%s", peerHint(p))
	}
	out := meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PeerReachableFromUs)
	in := meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.PeerReachesUs)
	way := ""
	switch {
	case out && in:
		way = ", dialed from both sides"
	case out:
		way = ", dialed from here"
	case in:
		way = ", dialed from there"
	}
	if all, some := p.Status.Proxies, p.Status.ConnectedProxies; some < all {
		return warn("peer %s is %s%s, but only at %d of %d proxies", p.Name, state.Summary, way, some, all).
			hint("see 'eastway status --all' for the others")
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.PeerWithinQuota); c != nil && c.Status == metav1.ConditionFalse {
		return warn("peer %s is %s%s, but exports more than its quota", p.Name, state.Summary, way).hint("%s", c.Message)
	}
	return ok("peer %s is %s%s", p.Name, state.Summary, way)
}

func peerHint(p *v1alpha1.Peer) string {
	falsely := func(condition string) bool { return meta.IsStatusConditionFalse(p.Status.Conditions, condition) }
	switch {
	case falsely(v1alpha1.PeerAccepted):
		return "import what that cluster exports now: eastway peer export there, eastway peer import here"
	case falsely(v1alpha1.PeerTrusted) && strings.Contains(p.Status.LastError, "spec.denied"):
		return "if it is to be trusted again: kubectl edit peer " + p.Name + ", and remove it from spec.denied"
	case falsely(v1alpha1.PeerTrusted):
		return "one side has an old manifest of the other, or none: eastway peer link --contexts A,B renews both"
	case len(p.Spec.Addresses) == 0:
		return "it has no address, so it must dial this cluster: has it this cluster's Peer, with an address? (eastway peer list there)"
	default:
		return "is " + p.Spec.Addresses[0] + " reachable from this cluster's nodes, on TCP and UDP? has that cluster this one's Peer? " +
			"(eastway check there)"
	}
}

// quicPacket is the size of the packets with which a QUIC connection begins, without the headers of UDP and IP, in bytes: quic-go's
// InitialPacketSize. quicMTU is with those of IPv6.
const (
	quicPacket = 1280
	quicMTU    = quicPacket + 8 + 40
)

// lanesOf checks that there is a lane of that transport to each peer to which there is any.
func (f *facts) lanesOf(transport string) func(context.Context) []Result {
	return func(ctx context.Context) []Result {
		lanes, err := f.lanes(ctx)
		if err != nil {
			return one(unknown(err))
		}
		if len(lanes) == 0 {
			return one(skip("no proxy has a tunnel"))
		}
		var without []string
		for _, l := range lanes {
			if !slices.Contains(l.transports, transport) {
				without = append(without, l.proxy+" to "+l.peer)
			}
		}
		blocked := map[string]string{
			"quic": "is UDP blocked, or the path's MTU below %d? calls go over TCP meanwhile, which waits for lost packets",
			"tcp":  "is TCP blocked? calls go over QUIC meanwhile, which is slow in bulk on lossy paths",
		}[transport]
		if transport == "quic" {
			blocked = fmt.Sprintf(blocked, quicMTU)
		}
		if len(without) > 0 {
			return one(warn("no %s lane from %s", strings.ToUpper(transport), and(without)).hint("%s", blocked))
		}
		if transport == "quic" {
			return one(ok("UDP passes to every peer, with packets of %d bytes at least", quicPacket))
		}
		return one(ok("TCP passes to every peer"))
	}
}

// laneSet is what one proxy has to one peer.
type laneSet struct {
	proxy, peer string
	transports  []string
	congestion  []string // of TCP lanes
}

func (f *facts) lanes(ctx context.Context) ([]laneSet, error) {
	statuses, err := f.getStatuses(ctx)
	var out []laneSet
	for i := range statuses {
		for j := range statuses[i].status.Peers {
			p := &statuses[i].status.Peers[j]
			set := laneSet{proxy: statuses[i].pod.Name, peer: p.Peer}
			for k := range p.Links {
				for l := range p.Links[k].Lanes {
					lane := &p.Links[k].Lanes[l]
					set.transports = append(set.transports, lane.Transport)
					if lane.Transport == "tcp" {
						set.congestion = append(set.congestion, lane.CongestionControl)
					}
				}
			}
			if len(set.transports) > 0 {
				out = append(out, set)
			}
		}
	}
	return out, err
}

func (f *facts) congestionControl(ctx context.Context) []Result {
	lanes, err := f.lanes(ctx)
	if err != nil {
		return one(unknown(err))
	}
	var slow, used []string
	for _, l := range lanes {
		for _, cc := range l.congestion {
			if !slices.Contains(used, cc) {
				used = append(used, cc)
			}
			if cc != "bbr" && !slices.Contains(slow, l.proxy) {
				slow = append(slow, l.proxy)
			}
		}
	}
	slices.Sort(used)
	switch {
	case len(used) == 0:
		return one(skip("no proxy has a TCP lane"))
	case len(slow) == 0:
		return one(ok("TCP lanes use bbr"))
	}
	return one(warn("TCP lanes use %s at %s: slower than bbr on lossy paths", and(used), and(slow)).
		hint("allow bbr on the nodes: the chart's node.allowBBR, or module tcp_bbr and sysctl net.ipv4.tcp_allowed_congestion_control=\"cubic bbr\""))
}
