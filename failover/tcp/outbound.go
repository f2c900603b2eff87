package tcp

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/proxyproto"
	"github.com/eastway/eastway/failover/slots"
	"github.com/eastway/eastway/internal/relay"
)

// Config is what a Handler needs; all of it but Watch.
type Config struct {
	// Cluster is the name of the own one.
	Cluster string
	Table   *balance.Table
	Dialer  *dial.Dialer
	// Budget bounds all attempts of one connection together.
	Budget time.Duration
	// Watch notices resets of sockets; it may return nil.
	Watch func() *relay.Watch
	// Slots counts connections to endpoints.
	Slots  *slots.Table
	Drills *drill.Drills // nil: there are none
	// LimitMet is called with each connection that is more than the policy allows.
	LimitMet func(service discovery.ServiceName, limit Limit)
}

// Handler carries connections.
type Handler struct{ cfg Config }

// New makes a Handler.
func New(cfg Config) *Handler { return &Handler{cfg: cfg} }

// Call is one connection that a Handler serves.
type Call struct {
	// Entry is the line of the access log to fill in.
	Entry *access.Entry
	// Life outlives the connection, see dial.Request. The caller waits for Attempts.
	Life     context.Context
	Attempts *sync.WaitGroup
	// First is what was read of an application's connection before.
	First []byte
}

// Serve carries one connection of an application to the nearest endpoint that accepts it. It owns conn.
func (h *Handler) Serve(ctx context.Context, conn relay.Conn, b listen.Binding, c Call) {
	e := c.Entry
	app, err := relay.NewSocket(conn, h.cfg.Watch())
	if err != nil {
		notConnected(e, err)
		return
	}
	connecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if from, err := netip.ParseAddrPort(e.Caller); err == nil {
		e.CallerLocality = h.cfg.Table.Locate(from.Addr())
	}
	caller := balance.Caller{Cluster: h.cfg.Cluster, Address: e.Caller, Locality: e.CallerLocality, ClusterSet: b.ClusterSet}
	drilled := h.cfg.Drills.Begin(e, b.Key, caller)
	drilled.Wait(connecting)
	caller.Keep = drilled.Filter()
	candidates := h.cfg.Table.Candidates(b.Key, caller)
	limit := h.allowance(b.Key, h.cfg.Cluster)
	defer limit.done()
	candidates, err = limit.withRoom(candidates)
	if err == nil {
		err = limit.admits(candidates)
	}
	if err != nil {
		app.Abort(err.Error())
		notConnected(e, err)
		return
	}
	early := dial.NewEarly(app, c.First, func() { cancel(dial.ErrClientReset) })
	won, attempts, err := h.cfg.Dialer.Connect(connecting, &dial.Request{
		Key: b.Key, Caller: e.Caller, CallerLocality: e.CallerLocality, Early: early, Broken: app.Broken(),
		Budget: h.cfg.Budget, Life: c.Life, Attempts: c.Attempts,
	}, candidates)
	e.Attempts = attempts
	if err = limit.take(won, err); err != nil {
		early.Discard()
		app.Abort(err.Error())
		notConnected(e, err)
		return
	}
	defer won.Use.Done(balance.Outcome{})
	connected(e, won)
	h.relay(ctx, app, early, won, e, h.idle(b.Key))
}

// idle is how long a connection may carry nothing; 0: any time.
func (h *Handler) idle(k balance.Key) time.Duration {
	return h.cfg.Table.Requests(k).Pool.TCPIdleTimeout
}

// Reject ends a connection of an application that is not served, so that it sees an error and not an end.
func (h *Handler) Reject(conn relay.Conn, e *access.Entry, why error) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
	notConnected(e, why)
}

// relay carries app's connection to the candidate that accepted it.
func (h *Handler) relay(ctx context.Context, app relay.Socket, early *dial.Early, won *dial.Conn, e *access.Entry, idle time.Duration) {
	head := early.HandOver(won.Stream)
	server, name, err := h.end(won, proxyproto.Caller{Address: e.Caller, Cluster: h.cfg.Cluster})
	if err != nil {
		if head != nil {
			head()
		}
		app.Abort(err.Error())
		notConnected(e, err)
		return
	}
	res := relay.Run(ctx, app, server, head, idle)
	sent, ended := early.Sent()
	if ended && res.How == relay.Closed {
		res.By = relay.Client // before there was a relay
	}
	relayed(e, res, endClient, name)
	e.Up += sent
}

// end is the relay's end for the candidate that accepted, and its name.
func (h *Handler) end(won *dial.Conn, from proxyproto.Caller) (relay.End, string, error) {
	if won.Stream != nil {
		return relay.NewStream(won.Stream), endPeer, nil
	}
	if err := won.Introduce(from); err != nil {
		return nil, endEndpoint, err
	}
	socket, err := relay.NewSocket(won.Socket, h.cfg.Watch())
	return socket, endEndpoint, err
}
