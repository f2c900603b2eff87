package failover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/dial"
	requests "github.com/eastway/eastway/failover/http"
	"github.com/eastway/eastway/failover/listen"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/failover/tcp"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/internal/source"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// applications tracks the connections of applications and hands them to the handler of their protocol.
type applications struct{ *Proxy }

// Serve implements listen.Handler.
func (p applications) Serve(life context.Context, conn relay.Conn, b listen.Binding) {
	e := &access.Entry{
		Started: time.Now(), Direction: access.Outbound, Service: b.Service.String(), Port: b.Port,
		Caller: conn.RemoteAddr().String(), CallerCluster: p.cfg.Cluster,
	}
	if p.isLoop(conn, b) {
		p.tcp.Reject(conn, e, errLoop)
		p.finish(e)
		return
	}
	if err := p.gate.AdmitConn(conn); err != nil {
		p.refused.short(shortage.Files, zap.Stringer("service", b.Service), zap.Error(err))
		p.tcp.Reject(conn, e, fmt.Errorf("%w: %w", registry.ErrTooMany, err))
		p.finish(e)
		return
	}
	from := source.Of(conn.RemoteAddr())
	ctx, tracked, err := p.conns.AddOutbound(life, b.At.String(), from, p.cfg.MaxConnectionsPerListener, p.cfg.MaxConnections)
	if err != nil {
		if met, ok := errors.AsType[*registry.LimitError](err); ok {
			p.refused.full(b.Service, from, met)
		}
		p.tcp.Reject(conn, e, err)
		p.finish(e)
		return
	}
	var attempts sync.WaitGroup // some are heard out when the connection has ended already
	defer attempts.Wait()
	defer p.conns.Remove(tracked)
	defer p.metrics.begun(access.Outbound)()
	var first []byte
	if p.table.HTTP(b.Key) {
		if first, e.Result = p.http.Serve(ctx, conn, b, requests.Call{Caller: e.Caller, Life: life, Attempts: &attempts}); e.Result != "" {
			p.metrics.ended(e) // its requests have lines of their own
			return
		}
		p.refused.notHTTP(b.Service, e.Caller)
	}
	defer p.finish(e)
	p.tcp.Serve(ctx, conn, b, tcp.Call{Entry: e, Life: life, Attempts: &attempts, First: first})
}

// ServeStream carries one stream of a peer to an endpoint of this cluster, or
// refuses it. It returns when the stream has ended.
func (p *Proxy) ServeStream(in Incoming) {
	e := tcp.EntryOf(in)
	// A stream that ended is noticed by the relay, after what it had sent; its context only ends the attempts.
	life := context.WithoutCancel(in.Context())
	of := grant{in.Peer(), discovery.ServiceName{Namespace: in.Header().GetNamespace(), Name: in.Header().GetService()}}
	var from netip.Prefix
	if !in.Header().GetHttp() { // each request may have another caller
		from = source.OfText(e.Caller)
	}
	ctx, tracked, err := p.conns.AddInbound(life, "peer "+of.peer, of.service.String(), from, p.cfg.MaxStreamsPerPeer, p.cfg.MaxStreams)
	if err != nil {
		if s := p.table.Snapshot(); s != nil && s.Services.Get(of.service) != nil {
			e.Service = of.service.String()
		}
		if met, ok := errors.AsType[*registry.LimitError](err); ok {
			p.refused.fullOfStreams(of.peer, e.Service, from, met)
		}
		p.tcp.RefuseStream(in, e, err)
		p.finish(e)
		return
	}
	var attempts sync.WaitGroup // some are heard out when the stream has ended already
	defer attempts.Wait()
	defer p.conns.Remove(tracked)
	defer p.grants.add(of, tracked)()
	p.judge(of)
	defer p.metrics.begun(access.Inbound)()
	if in.Header().GetHttp() && p.serveRequests(ctx, in, e, requests.Call{Caller: e.Caller, Life: life, Attempts: &attempts}) {
		p.metrics.ended(e) // its requests have lines of their own
		return
	}
	defer p.finish(e)
	p.tcp.ServeStream(ctx, in, tcp.Call{Entry: e, Life: life, Attempts: &attempts})
}

// serveRequests carries the requests of a peer's stream one by one. It returns false when the port is not HTTP here: then the stream is
// carried as TCP.
func (p *Proxy) serveRequests(ctx context.Context, in Incoming, e *access.Entry, c requests.Call) bool {
	key, err := p.tcp.Authorize(in)
	if err != nil || !p.table.HTTP(key) {
		return false
	}
	e.Service = key.Service.String()
	stream, err := in.Accept(&tunnelpb.Answer{Http: true})
	if err != nil {
		e.Result = access.ClientReset
		return true
	}
	stop := context.AfterFunc(in.Context(), func() { stream.Reset("the stream has ended") }) //nolint:contextcheck // the stream's end
	defer stop()
	e.Result = p.http.ServeStream(ctx, requests.Stream{
		Stream: stream, Peer: in.Peer(), Address: in.Address(), Key: key, Hostname: in.Header().GetHostname(),
	}, c)
	if errors.Is(context.Cause(ctx), registry.ErrDenied) {
		e.Result = access.Denied
	}
	return true
}

// finish writes a connection's line of the access log and counts.
func (p *Proxy) finish(e *access.Entry) {
	p.metrics.ended(e)
	p.ended(e)
	e.Write(p.cfg.AccessLog)
}

// finishRequest writes a request's line of the access log and counts.
func (p *Proxy) finishRequest(e *access.Entry) {
	p.metrics.requestEnded(e)
	p.ended(e)
	e.Write(p.cfg.AccessLog)
}

// ended passes on what more than the access log and metrics want to know.
func (p *Proxy) ended(e *access.Entry) {
	p.probes.ended(e)
	if e.Drill != nil {
		e.Drill.Finished(e)
	}
	if e.Err == nil || e.Result != access.Limit {
		return
	}
	if met, ok := errors.AsType[*dial.LimitError](e.Err); ok && met.Peer != "" {
		p.refused.atPeer(e.Service, met)
	}
}

// notAccepted reports that the listener has connections that wait, for a shortage here.
func (p *Proxy) notAccepted(at netip.AddrPort, err error) bool {
	of := shortage.Of(err)
	if of != "" {
		p.refused.short(of, zap.Stringer("listener", at), zap.Error(err))
	}
	return of != ""
}

// notDialed reports that an endpoint was not dialed for a shortage here.
func (p *Proxy) notDialed(of shortage.Resource, endpoint netip.AddrPort, err error) {
	p.refused.short(of, zap.Stringer("endpoint", endpoint), zap.Error(err))
}
