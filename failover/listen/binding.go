package listen

import (
	"context"
	"net/netip"

	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/internal/relay"
)

// Binding is what the callers of one listener mean.
type Binding struct {
	// At is the listener's address.
	At netip.AddrPort
	balance.Key
	// ClusterSet: own endpoints count only if the service is exported.
	ClusterSet bool
}

// Handler serves the connections of listeners.
type Handler interface {
	// Serve owns conn and returns when it has ended. ctx ends with the listeners' Follow.
	Serve(ctx context.Context, conn relay.Conn, b Binding)
}
