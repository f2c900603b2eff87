package tunnel

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// PeerStatus is one peer as `eastway status` shows it.
type PeerStatus struct {
	Peer string `json:"peer"`
	// State is "connected", "suspect" (silent), "draining" or "disconnected".
	State string `json:"state"`
	// LastError is why the newest attempt to connect failed; empty once connected.
	LastError string `json:"lastError,omitempty"`
	// Reason is what Config.Reason makes of that error; empty when it has nothing to do with trust.
	Reason string       `json:"reason,omitempty"`
	Links  []LinkStatus `json:"links"`
}

// LinkStatus is one replica of a peer.
type LinkStatus struct {
	Replica string `json:"replica"`
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	Version string `json:"version,omitempty"`
	// State is as in PeerStatus.
	State string `json:"state"`
	// Dialed is true when this side dialed.
	Dialed bool `json:"dialed"`
	// Control is the transport of the control connection, "" while there is none.
	Control string `json:"control"`
	// RTT is the smoothed round trip of control pings.
	RTT   time.Duration `json:"rttNanos"`
	Age   time.Duration `json:"ageNanos"`
	Heard time.Duration `json:"heardNanos"` // since the last inbound byte
	Lanes []LaneStatus  `json:"lanes"`
}

// LaneStatus is one connection of a link.
type LaneStatus struct {
	Name              string        `json:"name"`
	Transport         string        `json:"transport"` // "tcp" or "quic"
	Role              string        `json:"role"`      // "control" or "lane"
	Local             string        `json:"local"`
	Remote            string        `json:"remote"`
	CongestionControl string        `json:"congestionControl"`
	TLS               string        `json:"tls"` // version, cipher suite, key exchange
	RTT               time.Duration `json:"rttNanos"`
	Age               time.Duration `json:"ageNanos"`
	Streams           int           `json:"streams"`
	// Sent and Lost count packets (QUIC) or segments (TCP); Lost are those sent again.
	Sent uint64 `json:"sent"`
	Lost uint64 `json:"lost"`
	// Quiet: not heard from recently, new streams send the header alone.
	Quiet bool `json:"quiet,omitempty"`
}

// Status describes every peer, sorted by name.
func (n *Node) Status() []PeerStatus {
	out := []PeerStatus{}
	for _, name := range n.peerNames() {
		n.mu.Lock()
		ps := PeerStatus{Peer: name, State: stateDisconnected, Links: []LinkStatus{}}
		var links []*link
		dialed := len(n.wanted[name].Addresses) > 0
		if p := n.peers[name]; p != nil {
			links = slices.Clone(p.links)
			ps.LastError, ps.Reason = p.failure.lastError, p.failure.reason
		}
		n.mu.Unlock()
		slices.SortFunc(links, func(a, b *link) int { return strings.Compare(a.replica+a.id, b.replica+b.id) })
		for _, l := range links {
			ls := l.status()
			ps.Links = append(ps.Links, ls)
			ps.State = betterState(ps.State, ls.State)
		}
		switch {
		case ps.State == alive.String():
			ps.LastError, ps.Reason = "", ""
		case ps.LastError == "" && len(links) == 0 && !dialed:
			ps.LastError = "no addresses: waiting for the peer to dial"
		}
		out = append(out, ps)
	}
	return out
}

const (
	stateDisconnected = "disconnected"
	stateDraining     = "draining"
)

// betterState is the one of two states that says more for a peer.
func betterState(a, b string) string {
	order := []string{alive.String(), suspect.String(), stateDraining, stateDisconnected}
	if slices.Index(order, b) < slices.Index(order, a) {
		return b
	}
	return a
}

func (l *link) status() LinkStatus {
	conns := l.connections()
	l.mu.Lock()
	ls := LinkStatus{
		Replica: l.replica, Region: l.hello.GetLocality().GetRegion(), Zone: l.hello.GetLocality().GetZone(),
		Version: l.hello.GetVersion(), State: l.vitals.state.String(), Dialed: l.dialed,
		Age: time.Since(l.born), Heard: time.Since(l.vitals.heardAt), Lanes: []LaneStatus{},
	}
	switch {
	case l.vitals.state != alive:
	case l.life.opening != opens || l.life.reason != "":
		ls.State = stateDraining
	case l.vitals.doubtful():
		ls.State = suspect.String() // connections ended and no ping sent since was answered
	}
	l.mu.Unlock()
	for _, c := range conns {
		if c.role == tunnelpb.Hello_ROLE_CONTROL {
			ls.Control, ls.RTT = c.sess.Caps().Name, c.rtt()
		}
		ls.Lanes = append(ls.Lanes, l.laneStatus(c))
	}
	return ls
}

func (l *link) laneStatus(c *conn) LaneStatus {
	local, remote := c.sess.Addrs()
	st := c.sess.Stats()
	role := "lane"
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		role = "control"
	}
	return LaneStatus{
		Name: c.name, Transport: c.sess.Caps().Name, Role: role, Local: local.String(), Remote: remote.String(),
		CongestionControl: st.Congestion, TLS: describeTLS(c.sess.TLS()), RTT: cmp.Or(st.RTT, c.rtt()),
		Age: time.Since(c.born), Streams: int(c.active.Load()), Sent: st.Sent, Lost: st.Lost, Quiet: l.quiet(c),
	}
}

func describeTLS(cs tls.ConnectionState) string {
	return fmt.Sprintf("%s %s %s", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), cs.CurveID)
}
