package failover

import (
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/tcp"
)

// Catalog is where services, endpoints and policies come from.
type Catalog interface {
	// Snapshot is the newest state, never nil.
	Snapshot() *discovery.Snapshot
	// Changed returns a channel that is closed by the change after the call.
	Changed() <-chan struct{}
}

// Stream is one stream to or from a peer.
type Stream = dial.Stream

// Tunnels opens streams to peers.
type Tunnels = dial.Tunnels

// Incoming is a stream that a peer opened.
type Incoming = tcp.Incoming

// EndpointStatus is one place behind a service.
type EndpointStatus = balance.EndpointStatus

// ListenerStatus is one address on which callers reach a service.
type ListenerStatus = listen.Status

// Values of EndpointStatus.Status and EndpointStatus.OutlierCheck.
const (
	StatusHealthy     = balance.StatusHealthy
	StatusNotReady    = balance.StatusNotReady
	StatusTerminating = balance.StatusTerminating
	StatusUnreachable = balance.StatusUnreachable

	CheckOK      = balance.CheckOK
	CheckFailed  = balance.CheckFailed
	CheckProbing = balance.CheckProbing
	CheckRamping = balance.CheckRamping
)
