package failover

import (
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/tcp"
)

// Catalog is where services, endpoints and policies come from.
type Catalog interface {
	// Snapshot is the newest state, never nil.
	Snapshot() *discovery.Snapshot
	// Changed returns a channel that is closed by the change after the call.
	Changed() <-chan struct{}
	// SetUnhealthy changes why endpoints of the own cluster fail their health checks; an empty reason: they do not.
	SetUnhealthy(reasons map[discovery.EndpointRef]string)
}

// Stream is one stream to or from a peer.
type Stream = dial.Stream

// Tunnels opens streams to peers.
type Tunnels = dial.Tunnels

// Incoming is a stream that a peer opened.
type Incoming = tcp.Incoming
