package tunnel

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/tunnelpb"
	"github.com/eastway/eastway/tunnel/vitals"
)

// Status describes every peer, sorted by name.
func (n *Node) Status() []status.Peer {
	out := []status.Peer{}
	for _, name := range n.peerNames() {
		n.mu.Lock()
		ps := status.Peer{Peer: name, State: status.Disconnected, Links: []status.Link{}}
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
		explain(&ps, dialed)
		out = append(out, ps)
	}
	return out
}

// explain says why the peer is not connected, if it is not.
func explain(ps *status.Peer, dialed bool) {
	switch {
	case ps.State == status.Connected:
		ps.LastError, ps.Reason = "", ""
	case ps.LastError != "":
	case ps.State == status.Connecting:
		ps.LastError = "no lane for calls yet"
	case len(ps.Links) == 0 && !dialed:
		ps.LastError = "no addresses: waiting for the peer to dial"
	}
}

// betterState is the one of two states that says more for a peer.
func betterState(a, b string) string {
	order := []string{status.Connected, status.Suspect, status.Draining, status.Connecting, status.Disconnected}
	if slices.Index(order, b) < slices.Index(order, a) {
		return b
	}
	return a
}

func (l *link) status() status.Link {
	conns := l.connections()
	l.mu.Lock()
	ls := status.Link{
		Replica: l.replica, Region: l.hello.GetLocality().GetRegion(), Zone: l.hello.GetLocality().GetZone(),
		Version: l.hello.GetVersion(), State: l.vitals.State().String(), Dialed: l.dialed,
		Age: time.Since(l.born), Heard: l.vitals.Silence(time.Now()), Lanes: []status.Lane{},
	}
	switch {
	case l.vitals.State() != vitals.Alive:
	case l.life.opening != opens || l.life.reason != "":
		ls.State = status.Draining
	case l.vitals.Doubtful():
		ls.State = status.Suspect // connections ended and no ping sent since was answered
	case laneless(l.lanes):
		ls.State = status.Connecting
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

func (l *link) laneStatus(c *conn) status.Lane {
	local, remote := c.sess.Addrs()
	st := c.sess.Stats()
	role := status.RoleLane
	if c.role == tunnelpb.Hello_ROLE_CONTROL {
		role = status.RoleControl
	}
	return status.Lane{
		Name: c.name, Transport: c.sess.Caps().Name, Role: role, Local: local.String(), Remote: remote.String(),
		CongestionControl: st.Congestion, TLS: describeTLS(c.sess.TLS()), RTT: cmp.Or(st.RTT, c.rtt()),
		Age: time.Since(c.born), Streams: int(c.active.Load()), Sent: st.Sent, Lost: st.Lost, Quiet: l.quiet(c),
	}
}

func describeTLS(cs tls.ConnectionState) string {
	return fmt.Sprintf("%s %s %s", tls.VersionName(cs.Version), tls.CipherSuiteName(cs.CipherSuite), cs.CurveID)
}

// reasonOther is what Config.Reason returns for what has nothing to do with trust.
const reasonOther = "other"

// reasonOverloaded is why connections are ended to admit others.
const reasonOverloaded = "overloaded"

// maxError bounds the error of a peer that status shows, in bytes: a cause, which may be the peer's text, a place and a remedy.
const maxError = 600

// plain is an error in one line, without the names of packages.
func plain(err error) string {
	return clip.Text(strings.NewReplacer("\n", "; ", "tunnel: ", "", "certs: ", "").Replace(err.Error()), maxError)
}

// refusedBy explains a peer's alert. An alert only means that the peer did not accept our certificate: what is wrong with it, and
// usually what must be fixed, is at the peer. That comes first, because a Peer's status cuts off the end of long messages.
func refusedBy(peer, addr string, alert error) error {
	if !strings.Contains(alert.Error(), "certificate") {
		return fmt.Errorf("tunnel: peer %s at %s refused us, its log says why: %w", peer, addr, alert)
	}
	return fmt.Errorf("tunnel: peer %s refused our certificate: it has no Peer for this cluster, or one with another root "+
		"(run 'eastway peer list' there), or clocks differ: the log of %s says which: %w", peer, addr, alert)
}
