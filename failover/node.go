package failover

import (
	"context"

	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// TunnelsOf are the tunnels of a node, for Config.Tunnels.
func TunnelsOf(n *tunnel.Node) Tunnels { return nodeTunnels{n} }

// IncomingOf is a stream that a node hands over, for Proxy.ServeStream.
func IncomingOf(in *tunnel.Incoming) Incoming { return nodeIncoming{in} }

type nodeTunnels struct{ *tunnel.Node }

func (t nodeTunnels) Open(ctx context.Context, peer string, h *tunnel.Header, avoid []string) (Stream, error) {
	s, err := t.Node.Open(ctx, peer, h, avoid)
	if err != nil {
		return nil, err // not a nil *tunnel.Stream in an interface
	}
	return s, nil
}

type nodeIncoming struct{ *tunnel.Incoming }

func (in nodeIncoming) Accept(a *tunnelpb.Answer) (Stream, error) {
	s, err := in.Incoming.Accept(a)
	if err != nil {
		return nil, err
	}
	return s, nil
}
