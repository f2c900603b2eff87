package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/operand"
	"github.com/eastway/eastway/internal/status"
)

// Config is what a server shows, and where. The zero value listens on
// DefaultAddress and answers healthz and readyz.
type Config struct {
	// Address is IP:PORT or localhost:PORT; "" is DefaultAddress.
	Address string
	// AllowRemote permits an Address that other machines can reach, and requests under
	// any host name. Metrics, status and profiles are then open to every client that can connect.
	AllowRemote bool
	// HealthOnly omits everything about other processes than this one: only PathHealthz, PathReadyz, PathServingz and
	// PathMetrics are answered, under any host name. Such a listener may be on any address.
	HealthOnly bool
	// HealthListeners answers PathListeners too on such a listener, to any client: for node agents of the release before.
	HealthListeners bool
	// Gatherer feeds PathMetrics; nil: no metrics.
	Gatherer prometheus.Gatherer
	// Registerer gets the server's own metrics; nil: none.
	Registerer prometheus.Registerer
	// Checks must all pass for PathReadyz and PathServingz to answer 200.
	Checks []Check
	// Status feeds PathStatus; nil: 404.
	Status func() Status
	// Endpoints feeds PathEndpoints; false: no such service. nil: 404.
	Endpoints func(namespace, name string) ([]status.Endpoint, bool)
	// Explain feeds PathExplain; nil: no such service; the error is one of the query. nil: 404.
	Explain func(context.Context, status.Query) ([]status.Explanation, error)
	// Authz feeds PathAuthz; nil: 404.
	Authz func(peer string, service discovery.ServiceName) status.Authorization
	// Probe makes the call of PathProbe; nil: no such service; the error is why no call was made. nil: 404.
	Probe func(context.Context, status.ProbeQuery) (*status.Probe, error)
	// Listeners feeds PathListeners; nil: 404.
	Listeners ListenerSource
	// More are what others answer on the listener, by method and path ("GET /dns").
	More map[string]http.HandlerFunc
	// Logger gets one line per refused request and what goes wrong in answers; nil: nothing.
	Logger *zap.Logger
}

// ListenerSource is a failover.Proxy.
type ListenerSource interface {
	Listening() []status.Listener
	// ListenersRevision grows whenever the result of Listening changes.
	ListenersRevision() uint64
}

// Check is one condition of readiness. Ready does not block; its error names
// what is missing.
type Check struct {
	Name  string
	Ready func() error
	// Serving replaces Ready for PathServingz; nil: Ready applies.
	Serving func() error
}

// Validate names the field that is wrong.
func (c *Config) Validate() error {
	if err := c.validateAddress(); err != nil {
		return fmt.Errorf("admin: Address: %w", err)
	}
	for i, check := range c.Checks {
		if check.Name == "" || check.Ready == nil {
			return fmt.Errorf("admin: Checks[%d]: Name and Ready must be set", i)
		}
	}
	return nil
}

func (c *Config) validateAddress() error {
	host, _, err := operand.SplitHostPort(c.address())
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT: %w", c.Address, err)
	}
	if c.AllowRemote || c.HealthOnly || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("%q is not a loopback address: metrics, status and profiles would be open to the network; "+
		"use 127.0.0.1, or allow remote access if that is meant", c.Address)
}

func (c *Config) address() string {
	if c.Address == "" {
		return DefaultAddress
	}
	return c.Address
}

// isLoopback does not resolve names: DNS is not under our control.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}
