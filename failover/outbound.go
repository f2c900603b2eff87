package failover

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/eastway/eastway/internal/relay"
)

// The names of a connection's ends in the access log.
const (
	endClient   = "client"
	endEndpoint = "endpoint"
	endPeer     = "peer"
)

// serveApp carries one connection of an application to the nearest endpoint that accepts it.
func (p *Proxy) serveApp(life context.Context, conn relay.Conn, listener netip.AddrPort, pu purpose) {
	e := &entry{
		started: time.Now(), direction: outbound, service: pu.service.String(), port: pu.port,
		caller: conn.RemoteAddr().String(), callerCluster: p.cfg.Cluster,
	}
	ctx, tracked, err := p.conns.add(life, listener.String(), true, p.cfg.MaxConnectionsPerListener, p.cfg.MaxConnections)
	if err != nil {
		reset(conn)
		e.notConnected(err)
		p.finish(e)
		return
	}
	var attempts sync.WaitGroup // some are heard out when the connection has ended already
	defer attempts.Wait()
	defer p.conns.remove(tracked)
	defer p.finish(e)
	active := p.metrics.active.WithLabelValues(outbound)
	active.Inc()
	defer active.Dec()
	app, err := relay.NewSocket(conn, p.watch.Load())
	if err != nil {
		e.notConnected(err)
		return
	}
	early := &early{app: app}
	p.carry(ctx, e, early, pu, &connector{
		key: pu.portKey, cluster: p.cfg.Cluster, caller: e.caller, tunnels: p.cfg.Tunnels, network: p.network,
		metrics: p.metrics, early: early, broken: app.Broken(), life: life, wg: &attempts,
	})
}

// reset ends a connection that nobody has, so that its client sees an error and not an end.
func reset(conn relay.Conn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

func (p *Proxy) carry(ctx context.Context, e *entry, early *early, pu purpose, c *connector) {
	connecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	app := early.app
	early.gone = func() { cancel(errClientReset) }
	won, err := c.connect(connecting, p.optionsFor(e, c, pu), p.cfg.ConnectBudget)
	e.attempts = c.attempts
	if err != nil {
		early.discard()
		app.Abort(err.Error())
		e.notConnected(err)
		return
	}
	defer won.target.active.Add(-1)
	e.connected(won)
	head := early.handOver(won.stream)
	server, name, err := p.end(won)
	if err != nil {
		if head != nil {
			head()
		}
		app.Abort(err.Error())
		e.notConnected(err)
		return
	}
	res := relay.Run(ctx, app, server, head)
	if early.fin && res.How == relay.Closed {
		res.By = relay.Client // before there was a relay
	}
	e.relayed(res, endClient, name)
	e.up += early.sent
}

// end is the relay's end for the attempt that was accepted, and its name.
func (p *Proxy) end(won *attempt) (relay.End, string, error) {
	if won.stream != nil {
		return relay.NewStream(won.stream), endPeer, nil
	}
	socket, err := relay.NewSocket(won.conn, p.watch.Load())
	return socket, endEndpoint, err
}

// optionsFor are the places to try for a connection that an application opened.
func (p *Proxy) optionsFor(e *entry, c *connector, pu purpose) []option {
	s := p.snapshot.Load()
	g := p.table.group(c.key)
	if s == nil || g == nil {
		return nil
	}
	svc := s.Services.Get(c.key.service)
	if svc == nil {
		return nil
	}
	if from, err := netip.ParseAddrPort(e.caller); err == nil {
		e.callerAt = localityOf(s, from.Addr(), p.cfg.Locality)
	}
	c.callerLocality, c.timeout = e.callerAt, g.policy().connectTimeout
	options := p.peerOptions(svc, g, e.callerAt)
	if !pu.clusterSet || svc.Export != nil {
		options = append(p.localOptions(svc, g, e.callerAt), options...)
	}
	return order(options, affinity(pu.spec(p.cfg.Cluster, svc), p.cfg.Cluster, e.caller), p.random)
}
