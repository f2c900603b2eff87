package failover

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/descriptors"
)

// Config is what a Proxy needs. Cluster, Catalog and Tunnels have to be set.
type Config struct {
	// Cluster is this cluster's name.
	Cluster string
	// Started is when the process did: retries have no history for a while. Zero: long ago.
	Started time.Time
	// Locality is where this proxy is; callers at unknown addresses are taken to be there too.
	Locality discovery.Locality
	Catalog  Catalog
	Tunnels  Tunnels
	// Log is for events of the proxy, AccessLog gets one line per connection (see NewAccessLog). Nil: none.
	Log       *zap.Logger
	AccessLog *zap.Logger
	// Metrics registers the package's metrics; nil: they are not registered.
	Metrics prometheus.Registerer

	// Network is what listeners listen on and endpoints are dialed through; nil: this host's.
	Network Network

	// Guard decides which addresses of this cluster are dialed, beside what leads to the own listeners, which is not; nil: loopback
	// addresses may be.
	Guard *discovery.Guard

	// Identity is this cluster's own, for endpoints outside that get TLS by SPIFFE; nil: there are none.
	Identity originate.Identity

	// ConnectBudget bounds all attempts of one connection together; 0: 15 s.
	ConnectBudget time.Duration
	// OpenFiles is how many files the process may have open; 0: enough.
	OpenFiles uint64
	// Memory is how much the process may take, in bytes; 0: enough.
	Memory int64
	// MaxConnections of all listeners together; 0: 16384, or what OpenFiles and Memory have room for. Above it new ones are reset at once.
	MaxConnections int
	// MaxConnectionsPerListener; 0: 8192, or half of what OpenFiles and Memory have room for.
	MaxConnectionsPerListener int
	// MaxStreams is how many streams of all peers are served at a time; 0: 16384, or what OpenFiles and Memory have room for.
	MaxStreams int
	// MaxStreamsPerPeer is how many of one peer are; 0: 8192, or three quarters of MaxStreams, if that is less: what a peer may
	// have while others have nothing.
	MaxStreamsPerPeer int
}

// Validate names the first field that is wrong.
func (c Config) Validate() error {
	switch {
	case c.Cluster == "":
		return errors.New("failover: Config.Cluster is empty: set the name of this cluster")
	case c.Catalog == nil:
		return errors.New("failover: Config.Catalog is nil")
	case c.Tunnels == nil:
		return errors.New("failover: Config.Tunnels is nil")
	case c.ConnectBudget < 0:
		return fmt.Errorf("failover: Config.ConnectBudget is %v: must not be negative", c.ConnectBudget)
	}
	for _, limit := range []struct {
		field string
		value int
	}{
		{"MaxConnections", c.MaxConnections},
		{"MaxConnectionsPerListener", c.MaxConnectionsPerListener},
		{"MaxStreams", c.MaxStreams},
		{"MaxStreamsPerPeer", c.MaxStreamsPerPeer},
	} {
		if limit.value < 0 {
			return fmt.Errorf("failover: Config.%s is %d: must not be negative", limit.field, limit.value)
		}
	}
	return nil
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.AccessLog == nil {
		c.AccessLog = zap.NewNop()
	}
	if c.Network == nil {
		c.Network = newHost(descriptors.NewGate(c.OpenFiles))
	}
	c.Guard = either(c.Guard, &discovery.Guard{AllowLoopback: true})
	c.ConnectBudget = either(c.ConnectBudget, defaultConnectBudget)
	most := room(c.OpenFiles, c.Memory)
	c.MaxConnections = either(c.MaxConnections, min(defaultMaxConnections, most))
	c.MaxConnectionsPerListener = either(c.MaxConnectionsPerListener, min(defaultMaxPerListener, max(most/2, 1)))
	c.MaxStreams = either(c.MaxStreams, min(defaultMaxStreams, most))
	c.MaxStreamsPerPeer = either(c.MaxStreamsPerPeer, min(defaultMaxStreamsPerPeer, max(c.MaxStreams*3/4, 1)))
	return c
}

func either[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
