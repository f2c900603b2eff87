package failover

import (
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/internal/relay"
)

// errLoop ends a connection that a proxy of this cluster makes to a listener.
var errLoop = errors.New("the caller is a proxy of this cluster: an endpoint of another service leads back to this one")

// forbidden is why an endpoint is not dialed. Sources leave such endpoints out; here is the last chance to notice one.
func (p *Proxy) forbidden(endpoint netip.AddrPort) error {
	endpoint = netip.AddrPortFrom(endpoint.Addr().Unmap(), endpoint.Port())
	why := p.cfg.Guard.Check(endpoint)
	if why == "" && p.listeners.Has(endpoint, p.cfg.Guard.IsHost) {
		why = discovery.RefusedLoop
	}
	if why == "" {
		return nil
	}
	p.metrics.forbidden.WithLabelValues(string(why)).Inc()
	p.refused.note(refusalKey{kind: refusedEndpoint}, zap.Stringer("endpoint", endpoint), zap.String("reason", why.Text()))
	return fmt.Errorf("%w: it %s", dial.ErrForbidden, why.Text())
}

// isLoop is true for a connection that comes from a proxy of this cluster: an endpoint leads back, through an address that
// does not show it, such as a load balancer's.
func (p *Proxy) isLoop(conn relay.Conn, b listen.Binding) bool {
	s := p.table.Snapshot()
	caller, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if s == nil || err != nil || !s.IsProxy(caller.Addr()) {
		return false
	}
	p.metrics.forbidden.WithLabelValues(string(discovery.RefusedLoop)).Inc()
	p.refused.note(refusalKey{service: b.Service, kind: refusedLoop}, zap.Stringer("caller", caller))
	return true
}
