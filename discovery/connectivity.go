package discovery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/clip"
)

// maxPeerStates is how many peers a proxy sends the state of: more clusters than are joined in practice.
const maxPeerStates = 512

// maxPeerError is the longest error that is sent of a peer, in bytes: a cause, a place and a remedy. A peer with an error has
// few links or none, so that all states still fit into one message.
const maxPeerError = 256

// PeerConnectivity is how one proxy is connected to one peer.
type PeerConnectivity struct {
	Peer string
	// Error is why there is no link; empty while there is one.
	Error string
	// Reason is one of certs.Reasons when a handshake was refused, on either side; empty for any other error.
	Reason string
	Links  []PeerLink
}

// PeerLink is a proxy's link to one replica of a peer.
type PeerLink struct {
	Replica string
	// State is "connected", "suspect" or "draining".
	State string
	// Dialed is true if the proxy dialed the link, false if it accepted it.
	Dialed              bool
	TCPLanes, QUICLanes int
	RTT                 time.Duration
	Version             string
}

// equalStates ignores differences of round-trip times below a factor of two: no two measurements are equal.
func equalStates(a, b []PeerConnectivity) bool {
	return slices.EqualFunc(a, b, func(a, b PeerConnectivity) bool {
		return a.Peer == b.Peer && a.Error == b.Error && a.Reason == b.Reason && slices.EqualFunc(a.Links, b.Links, func(a, b PeerLink) bool {
			near := a.RTT < 2*b.RTT+time.Millisecond && b.RTT < 2*a.RTT+time.Millisecond
			a.RTT, b.RTT = 0, 0
			return near && a == b
		})
	})
}

func encodePeerStates(states []PeerConnectivity) *catalogpb.Message {
	p := &catalogpb.PeerStates{}
	for i := range states {
		if i == maxPeerStates {
			break
		}
		s := &catalogpb.PeerState{Name: states[i].Peer, Error: clip.Text(states[i].Error, maxPeerError), Reason: clip.Name(states[i].Reason)}
		for j, l := range states[i].Links {
			if j == maxReplicas {
				break
			}
			s.Links = append(s.Links, &catalogpb.PeerLink{
				Replica: l.Replica, State: l.State, Dialed: l.Dialed, TcpLanes: uint32(l.TCPLanes), // a few
				QuicLanes: uint32(l.QUICLanes), RttUs: uint64(max(l.RTT.Microseconds(), 0)), Version: l.Version, // a few
			})
		}
		p.Peers = append(p.Peers, s)
	}
	return &catalogpb.Message{Message: &catalogpb.Message_PeerStates{PeerStates: p}}
}

func decodePeerStates(m *catalogpb.PeerStates) ([]PeerConnectivity, error) {
	if n := len(m.GetPeers()); n > maxPeerStates {
		return nil, invalid("peerStates.peers", "%d peers, at most %d", n, maxPeerStates)
	}
	states := make([]PeerConnectivity, 0, len(m.GetPeers()))
	for i, p := range m.GetPeers() {
		at := fmt.Sprintf("peerStates.peers[%d]", i)
		if n := len(p.GetLinks()); n > maxReplicas {
			return nil, invalid(at+".links", "%d links, at most %d", n, maxReplicas)
		}
		st := PeerConnectivity{Peer: clip.Name(p.GetName()), Error: clip.Text(p.GetError(), maxPeerError), Reason: clip.Name(p.GetReason())}
		for _, l := range p.GetLinks() {
			const mostLanes = 1 << 10
			st.Links = append(st.Links, PeerLink{
				Replica: clip.Name(l.GetReplica()), State: clip.Name(l.GetState()), Dialed: l.GetDialed(), Version: clip.Name(l.GetVersion()),
				TCPLanes: int(min(l.GetTcpLanes(), mostLanes)), QUICLanes: int(min(l.GetQuicLanes(), mostLanes)),
				RTT: time.Duration(min(l.GetRttUs(), uint64(time.Hour/time.Microsecond))) * time.Microsecond,
			})
		}
		states = append(states, st)
	}
	slices.SortFunc(states, func(a, b PeerConnectivity) int { return strings.Compare(a.Peer, b.Peer) })
	return states, nil
}
