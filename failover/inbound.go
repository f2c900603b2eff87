package failover

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// refusal is an answer that is not acceptance.
type refusal struct {
	code       tunnel.Code
	reason     string
	retryAfter time.Duration
}

func (r *refusal) Error() string { return r.reason }

// ServeStream carries one stream of a peer to an endpoint of this cluster, or
// refuses it. It returns when the stream has ended.
func (p *Proxy) ServeStream(in Incoming) {
	h := in.Header()
	e := &entry{
		started: time.Now(), direction: inbound, service: unknownService, port: uint16(min(h.GetPort(), 0xffff)),
		caller: clip(h.GetCaller()), callerCluster: in.Peer(),
		callerAt: discovery.Locality{
			Region: clip(h.GetCallerLocality().GetRegion()), Zone: clip(h.GetCallerLocality().GetZone()),
		},
	}
	// A stream that ended is noticed by the relay, after what it had sent; its context only ends the attempts.
	life := context.WithoutCancel(in.Context())
	ctx, tracked, err := p.conns.add(life, "peer "+in.Peer(), false, p.cfg.MaxStreamsPerPeer, 0)
	if err != nil {
		refuse(in, e, refusalOf(err))
		p.finish(e)
		return
	}
	var attempts sync.WaitGroup // some are heard out when the stream has ended already
	defer attempts.Wait()
	defer p.conns.remove(tracked)
	defer p.finish(e)
	active := p.metrics.active.WithLabelValues(inbound)
	active.Inc()
	defer active.Dec()
	svc, g, refused := p.authorize(in, e)
	if refused != nil {
		refuse(in, e, refused)
		return
	}
	p.serve(ctx, in, e, svc, &connector{
		key: g.key, cluster: p.cfg.Cluster, network: p.network, metrics: p.metrics, timeout: g.policy().connectTimeout,
		life: life, wg: &attempts,
	}, g)
}

// authorize says what the stream asks for, if its peer may have it.
func (p *Proxy) authorize(in Incoming, e *entry) (*discovery.Service, *group, *refusal) {
	h := in.Header()
	if slices.Contains(h.GetVisited(), p.cfg.Cluster) {
		return nil, nil, &refusal{
			code:   tunnelpb.Answer_CODE_INVALID,
			reason: "the connection has passed cluster " + p.cfg.Cluster + " already",
		}
	}
	if protocol := h.GetProtocol(); protocol != discovery.TCP && protocol != "" {
		return nil, nil, &refusal{code: tunnelpb.Answer_CODE_INVALID, reason: "only TCP is served"}
	}
	// One answer for "none" and "not for you": a peer learns nothing of what is not exported.
	none := &refusal{code: tunnelpb.Answer_CODE_NOT_FOUND, reason: "cluster " + p.cfg.Cluster + " exports no such service port"}
	name := discovery.ServiceName{Namespace: h.GetNamespace(), Name: h.GetService()}
	s := p.snapshot.Load()
	if s == nil || h.GetPort() > 0xffff {
		return nil, nil, none
	}
	svc := s.Services.Get(name)
	if svc == nil || svc.Export == nil {
		return nil, nil, none
	}
	key := portKey{service: name, port: uint16(h.GetPort())} //nolint:gosec // checked above
	offered := slices.ContainsFunc(svc.Ports, func(sp discovery.ServicePort) bool { return sp.Port == key.port && isTCP(sp) })
	g := p.table.group(key)
	if !offered || g == nil {
		return nil, nil, none
	}
	e.service = name.String()
	return svc, g, nil
}

func (p *Proxy) serve(ctx context.Context, in Incoming, e *entry, svc *discovery.Service, c *connector, g *group) {
	h := in.Header()
	caller := p.cfg.Locality
	client := affinity(svc.Spec, in.Peer(), h.GetCaller())
	switch {
	case sameRegion(e.callerAt, caller):
		caller = e.callerAt // only here do its zones mean anything
	case client != 0:
		caller.Zone = "" // a client stays with its endpoint whichever replica it comes through
	}
	options := p.localOptions(svc, g, caller)
	if pod := h.GetHostname(); pod != "" { // before order, which leaves some of many out
		options = slices.DeleteFunc(options, func(o option) bool { return o.hostname != pod })
	}
	options = order(options, client, p.random)
	if n := int(h.GetAttempts()); n > 0 && n < len(options) { // 0: not told
		options = options[:n]
	}
	connecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(in.Context(), func() { cancel(errClientReset) }) //nolint:contextcheck // the stream's end, not its values
	won, err := c.connect(connecting, options, toTimeout(h.GetTimeoutMs(), p.cfg.ConnectBudget))
	stop()
	e.attempts = c.attempts
	if err != nil {
		refuse(in, e, refusalOf(err))
		return
	}
	defer won.target.active.Add(-1)
	e.connected(won)
	answer := &tunnelpb.Answer{
		Code: tunnelpb.Answer_CODE_ACCEPTED, Endpoint: e.endpoint, InFlight: g.inFlight(),
		EndpointLocality: &tunnelpb.Locality{Region: e.at.Region, Zone: e.at.Zone},
	}
	if h.GetProbe() {
		leave(won.conn)
		e.result, e.ended = endedProbe, "probe"
		if e.err = answerProbe(ctx, in, answer); e.err != nil {
			e.result = endedClient
		}
		return
	}
	p.relayIncoming(ctx, in, e, won, answer)
}

func (p *Proxy) relayIncoming(ctx context.Context, in Incoming, e *entry, won *attempt, answer *tunnelpb.Answer) {
	endpoint, err := relay.NewSocket(won.conn, p.watch.Load())
	if err != nil {
		refuse(in, e, refusalOf(err))
		return
	}
	stream, err := in.Accept(answer)
	if err != nil {
		endpoint.Abort("the peer is gone")
		e.notConnected(errors.Join(errClientReset, err))
		return
	}
	e.over(stream.Info())
	e.relayed(relay.Run(ctx, relay.NewStream(stream), endpoint, nil), endPeer, endEndpoint)
}

// refusalOf is what a peer is told about err.
func refusalOf(err error) *refusal {
	switch {
	case errors.Is(err, errTooMany):
		return &refusal{
			code: tunnelpb.Answer_CODE_OVERLOADED, reason: "too many streams of this peer", retryAfter: overloadRetryAfter,
		}
	case errors.Is(err, errDraining), errors.Is(err, errStopped):
		return &refusal{code: tunnelpb.Answer_CODE_DRAINING, reason: err.Error(), retryAfter: drainRetryAfter}
	case errors.Is(err, errBudget):
		return &refusal{code: tunnelpb.Answer_CODE_TIMEOUT, reason: err.Error()}
	default:
		return &refusal{code: tunnelpb.Answer_CODE_UNAVAILABLE, reason: err.Error()}
	}
}

func refuse(in Incoming, e *entry, r *refusal) {
	e.result, e.ended, e.err = endedRefused, "refused", r
	if err := in.Refuse(r.code, r.reason, r.retryAfter); err != nil {
		e.err = errors.Join(r, err)
	}
}

// inFlight is what all local endpoints of the group have in flight.
func (g *group) inFlight() uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var n int64
	for k, t := range g.targets {
		if k.peer == "" {
			n += t.active.Load()
		}
	}
	return uint32(min(max(n, 0), 1<<31))
}
