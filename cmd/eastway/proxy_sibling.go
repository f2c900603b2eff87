package main

import (
	"context"
	"slices"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// The cluster's controller dials its proxies with the cluster's own identity. To tunnel and certs it is a peer of the own name.

// sibling is the trust in processes of the own cluster; only on Kubernetes there are others than proxies.
func (p *proxy) sibling() (certs.Peer, bool) {
	svid, err := p.identity.GetX509SVID()
	if !p.o.kubernetes || err != nil {
		return certs.Peer{}, false
	}
	return certs.Peer{Name: p.o.cluster, ID: svid.ID, Bundle: p.identity.Bundle()}, true
}

// exchangeMessages exchanges catalogs with the replica at the other end of a link, until it ends.
func (p *proxy) exchangeMessages(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
	if l.Peer == p.o.cluster {
		return p.exchange.ServeSibling(ctx, l.Replica, c)
	}
	return p.exchange.Serve(ctx, l.Peer, l.Replica, c)
}

// serveStream serves peers; the controller has nothing to call here.
func (p *proxy) serveStream(in *tunnel.Incoming) {
	if in.Peer() == p.o.cluster {
		_ = in.Refuse(tunnelpb.Answer_CODE_INVALID, "calls of the own cluster go to the services' addresses", 0)
		return
	}
	p.failover.ServeStream(failover.IncomingOf(in))
}

// peersOnly leaves the own cluster out.
func peersOnly(all []status.Peer, own string) []status.Peer {
	return slices.DeleteFunc(all, func(s status.Peer) bool { return s.Peer == own })
}

// peerStates converts the state of the tunnels for the controller.
func peerStates(all []status.Peer, own string) []discovery.PeerConnectivity {
	var out []discovery.PeerConnectivity
	for _, s := range peersOnly(all, own) {
		state := discovery.PeerConnectivity{Peer: s.Peer, Error: s.LastError, Reason: s.Reason}
		for i := range s.Links {
			l := &s.Links[i]
			link := discovery.PeerLink{Replica: l.Replica, State: l.State, Dialed: l.Dialed, RTT: l.RTT, Version: l.Version}
			for j := range l.Lanes {
				if l.Lanes[j].Transport == "quic" {
					link.QUICLanes++
				} else {
					link.TCPLanes++
				}
			}
			state.Links = append(state.Links, link)
		}
		out = append(out, state)
	}
	return out
}
