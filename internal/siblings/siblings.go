package siblings

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
)

// Identity is the cluster's own; certs.CASource is one.
type Identity interface {
	x509svid.Source
	Bundle() *x509bundle.Bundle
}

// Config of Siblings. All but Log and Registerer is required.
type Config struct {
	// Cluster is the own name.
	Cluster  string
	Identity Identity
	// Catalog takes what the proxies forward of the peers that its source has found.
	Catalog *discovery.Catalog
	// Version is sent to the proxies.
	Version    string
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Validate names the first field that is missing.
func (c *Config) Validate() error {
	switch {
	case c.Cluster == "":
		return errors.New("siblings: Config.Cluster: the own cluster's name is required")
	case c.Identity == nil:
		return errors.New("siblings: Config.Identity is required")
	case c.Catalog == nil:
		return errors.New("siblings: Config.Catalog is required")
	}
	return nil
}

// Siblings are the links to the proxies.
type Siblings struct {
	cfg      Config
	auth     *certs.Authenticator
	node     *tunnel.Node
	follower *discovery.Follower
}

// New prepares the links; nothing is dialed before Run and SetProxies.
func New(ctx context.Context, cfg Config) (*Siblings, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	s := &Siblings{cfg: cfg, follower: discovery.NewFollower(cfg.Catalog)}
	var err error
	if s.auth, err = certs.NewAuthenticator(certs.Config{Source: cfg.Identity, Registerer: cfg.Registerer}); err != nil {
		return nil, fmt.Errorf("siblings: %w", err)
	}
	s.node, err = tunnel.New(ctx, tunnel.Config{
		Cluster: cfg.Cluster, Version: cfg.Version, Credentials: s.auth, Reason: certs.Reason, DisableQUIC: true,
		Messages: func(ctx context.Context, l tunnel.Link, c tunnel.MessageConn) error {
			return s.follower.Follow(ctx, l.Replica, c)
		},
		Log: cfg.Log, Metrics: cfg.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("siblings: %w", err)
	}
	return s, nil
}

// Run holds the links until ctx ends.
func (s *Siblings) Run(ctx context.Context) error { return s.node.Run(ctx) }

// SetProxies sets the addresses where the proxies accept tunnels, IP:PORT each, and trusts the cluster's current bundle.
// Links to other proxies end.
func (s *Siblings) SetProxies(addresses []string) error {
	svid, err := s.cfg.Identity.GetX509SVID()
	if err != nil {
		return fmt.Errorf("siblings: own identity: %w", err)
	}
	own := certs.Peer{Name: s.cfg.Cluster, ID: svid.ID, Bundle: s.cfg.Identity.Bundle()}
	if err := s.auth.SetPeers([]certs.Peer{own}); err != nil {
		return fmt.Errorf("siblings: %w", err)
	}
	s.node.SetPeers([]tunnel.Peer{{Name: s.cfg.Cluster, Addresses: addresses, PerReplica: true}})
	return nil
}

// PeerStates is how each linked proxy is connected to its peers, by replica; the channel is closed when that changes.
func (s *Siblings) PeerStates() (map[string][]discovery.PeerConnectivity, <-chan struct{}) {
	return s.follower.PeerStates()
}
