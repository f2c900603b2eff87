package tcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/failover/proxyproto"
	"github.com/eastway/eastway/failover/registry"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

const (
	// overloadRetryAfter is the retry-after for a peer that is above its limit.
	overloadRetryAfter = time.Second
	// drainRetryAfter is the retry-after while this proxy drains; another replica takes over at once.
	drainRetryAfter = time.Second
	// probeLinger bounds how long a probe's stream may stay after its answer.
	probeLinger = 5 * time.Second
)

// Incoming is a stream that a peer opened; *tunnel.Incoming implements it.
type Incoming interface {
	Header() *tunnel.Header
	// Peer is the authenticated cluster.
	Peer() string
	// Address is that of the peer's proxy, as this host sees it.
	Address() string
	// Accept sends the accepting answer; it comes before the first byte is written to an endpoint.
	Accept(a *tunnelpb.Answer) (dial.Stream, error)
	// Refuse declares that nothing was written to any endpoint.
	Refuse(code tunnel.Code, reason string, retryAfter time.Duration) error
	// Context ends with the stream or its lane.
	Context() context.Context
}

// refusal is an answer that is not acceptance.
type refusal struct {
	code       tunnel.Code
	reason     string
	retryAfter time.Duration
	// result is that of the access log; empty: access.Refused.
	result string
	// denied is the rule that denies it to the peer, which learns nothing of that; empty: none.
	denied string
}

func (r *refusal) Error() string {
	if r.denied != "" {
		return "denied by rule " + r.denied
	}
	return r.reason
}

// EntryOf is the line of the access log that a peer's stream begins with.
func EntryOf(in Incoming) *access.Entry {
	h := in.Header()
	return &access.Entry{
		Started: time.Now(), Direction: access.Inbound, Service: access.UnknownService, Port: uint16(min(h.GetPort(), 0xffff)),
		Caller: access.Clip(h.GetCaller()), CallerCluster: in.Peer(), PeerAddress: in.Address(),
		CallerLocality: discovery.Locality{
			Region: access.Clip(h.GetCallerLocality().GetRegion()), Zone: access.Clip(h.GetCallerLocality().GetZone()),
		},
	}
}

// ServeStream carries one stream of a peer to an endpoint of this cluster, or refuses it.
func (h *Handler) ServeStream(ctx context.Context, in Incoming, c Call) {
	e, header := c.Entry, in.Header()
	key, refused := h.authorize(in)
	if refused != nil {
		refuse(in, e, refused)
		return
	}
	e.Service = key.Service.String()
	limit := h.allowance(key, in.Peer())
	limit.free = header.GetProbe()
	defer limit.done()
	candidates := h.cfg.Table.Candidates(key, balance.Caller{
		Cluster: in.Peer(), Address: header.GetCaller(), Locality: e.CallerLocality, Remote: true, Hostname: header.GetHostname(),
	})
	if n := int(header.GetAttempts()); n > 0 && n < len(candidates) { // 0: the peer sets no bound
		candidates = candidates[:n]
	}
	candidates, err := limit.withRoom(candidates)
	if err == nil {
		err = limit.admits(candidates)
	}
	if err != nil {
		refuse(in, e, refusalOf(err))
		return
	}
	connecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(in.Context(), func() { cancel(dial.ErrClientReset) }) //nolint:contextcheck // the stream's end, not its values
	won, attempts, err := h.cfg.Dialer.Connect(connecting, &dial.Request{
		Key: key, Budget: toTimeout(header.GetTimeoutMs(), h.cfg.Budget), Life: c.Life, Attempts: c.Attempts, Exempt: limit.free,
	}, candidates)
	stop()
	e.Attempts = attempts
	if err = limit.take(won, err); err != nil {
		if _, refused = h.authorize(in); refused == nil || !errors.Is(err, registry.ErrDenied) {
			refused = refusalOf(err)
		}
		refuse(in, e, refused)
		return
	}
	defer won.Use.Done(balance.Outcome{})
	connected(e, won)
	answer := &tunnelpb.Answer{
		Code: tunnelpb.Answer_CODE_ACCEPTED, Endpoint: e.Endpoint,
		EndpointLocality: &tunnelpb.Locality{Region: e.Locality.Region, Zone: e.Locality.Zone},
	}
	if header.GetProbe() {
		won.Leave()
		e.Result, e.Ended = access.Probe, "probe"
		if e.Err = answerProbe(ctx, in, answer); e.Err != nil {
			e.Result = access.ClientReset
		}
		return
	}
	h.relayStream(ctx, in, e, won, answer, h.idle(key))
}

// RefuseStream refuses a stream that is not served.
func (h *Handler) RefuseStream(in Incoming, e *access.Entry, why error) {
	refuse(in, e, refusalOf(why))
}

// Authorize returns the service port that the stream requests, if its peer may have it.
func (h *Handler) Authorize(in Incoming) (balance.Key, error) {
	key, refused := h.authorize(in)
	if refused != nil {
		return key, refused
	}
	return key, nil
}

// authorize is Authorize with the answer to the peer.
func (h *Handler) authorize(in Incoming) (balance.Key, *refusal) {
	header := in.Header()
	if slices.Contains(header.GetVisited(), h.cfg.Cluster) {
		return balance.Key{}, &refusal{
			code:   tunnelpb.Answer_CODE_INVALID,
			reason: "the connection has passed cluster " + h.cfg.Cluster + " already",
		}
	}
	if protocol := header.GetProtocol(); protocol != discovery.TCP && protocol != "" {
		return balance.Key{}, &refusal{code: tunnelpb.Answer_CODE_INVALID, reason: "only TCP is served"}
	}
	// One answer for "none" and "not for you": a peer learns nothing of what is not exported.
	none := &refusal{code: tunnelpb.Answer_CODE_NOT_FOUND, reason: "cluster " + h.cfg.Cluster + " exports no such service port"}
	name := discovery.ServiceName{Namespace: header.GetNamespace(), Name: header.GetService()}
	s := h.cfg.Table.Snapshot()
	if s == nil || header.GetPort() > 0xffff {
		return balance.Key{}, none
	}
	svc := s.Services.Get(name)
	if v := discovery.MayCall(s.Peers[in.Peer()], svc); !v.Allowed {
		if v.Restricted() {
			none.result, none.denied = access.Denied, v.Rule
		}
		return balance.Key{}, none
	}
	key := balance.Key{Service: name, Port: uint16(header.GetPort())} // checked above
	offered := slices.ContainsFunc(svc.Ports, func(sp discovery.ServicePort) bool { return sp.Port == key.Port && balance.IsTCP(sp) })
	if !offered || !h.cfg.Table.Has(key) {
		return balance.Key{}, none
	}
	return key, nil
}

func (h *Handler) relayStream(ctx context.Context, in Incoming, e *access.Entry, won *dial.Conn, answer *tunnelpb.Answer,
	idle time.Duration,
) {
	endpoint, err := relay.NewSocket(won.Socket, h.cfg.Watch())
	if err != nil {
		refuse(in, e, refusalOf(err))
		return
	}
	stream, err := in.Accept(answer)
	if err != nil {
		endpoint.Abort("the peer is gone")
		notConnected(e, errors.Join(dial.ErrClientReset, err))
		return
	}
	e.Lane = lane(stream.Info())
	if err := won.Introduce(proxyproto.Caller{Address: in.Header().GetCaller(), Cluster: in.Peer(), Remote: true}); err != nil {
		stream.Reset("the endpoint has ended the connection")
		relayed(e, relay.Result{How: relay.Reset, By: relay.Server, Err: err}, endPeer, endEndpoint)
		return
	}
	relayed(e, relay.Run(ctx, relay.NewStream(stream), endpoint, nil, idle), endPeer, endEndpoint)
}

// refusalOf is the answer to a peer for err.
func refusalOf(err error) *refusal {
	if limited, ok := errors.AsType[*limitedError](err); ok { // no failure: the peer tries elsewhere until there may be a token
		return &refusal{
			code: tunnelpb.Answer_CODE_OVERLOADED, reason: err.Error(), retryAfter: min(limited.wait, overloadRetryAfter),
			result: access.RateLimited,
		}
	}
	if met, ok := errors.AsType[*dial.LimitError](err); ok { // no endpoint is broken
		return &refusal{
			code: tunnelpb.Answer_CODE_OVERLOADED, reason: met.Reason, retryAfter: overloadRetryAfter, result: access.Limit,
		}
	}
	switch {
	case errors.Is(err, registry.ErrTooMany):
		r := &refusal{code: tunnelpb.Answer_CODE_OVERLOADED, reason: err.Error(), retryAfter: overloadRetryAfter, result: access.Limit}
		if met, ok := errors.AsType[*registry.LimitError](err); ok && met.Limit == registry.LimitCallerShare {
			r.retryAfter = 0 // other callers of the peer have room
		}
		return r
	case errors.Is(err, errMaxConnections), errors.Is(err, balance.ErrFull):
		return &refusal{
			code: tunnelpb.Answer_CODE_OVERLOADED, reason: err.Error(), retryAfter: overloadRetryAfter, result: access.Limit,
		}
	case errors.Is(err, registry.ErrDraining), errors.Is(err, registry.ErrStopped):
		return &refusal{code: tunnelpb.Answer_CODE_DRAINING, reason: err.Error(), retryAfter: drainRetryAfter}
	case errors.Is(err, dial.ErrBudget):
		return &refusal{code: tunnelpb.Answer_CODE_TIMEOUT, reason: err.Error()}
	default:
		return &refusal{code: tunnelpb.Answer_CODE_UNAVAILABLE, reason: err.Error()}
	}
}

func refuse(in Incoming, e *access.Entry, r *refusal) {
	e.Result, e.Ended, e.Err = cmp.Or(r.result, access.Refused), "refused", r
	if err := in.Refuse(r.code, r.reason, r.retryAfter); err != nil {
		e.Err = errors.Join(r, err)
	}
}

// answerProbe accepts a peer's probe and waits for the peer to end it, so that no reset overtakes the answer.
func answerProbe(ctx context.Context, in Incoming, answer *tunnelpb.Answer) error {
	s, err := in.Accept(answer)
	if err != nil {
		return fmt.Errorf("failover: answer probe of %s: %w", in.Peer(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeLinger)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.Reset("probe done") })
	defer stop()
	_ = s.CloseWrite()
	// Data on a probe is not read any further.
	_, _ = io.CopyN(io.Discard, s, 1)
	s.Reset("probe done")
	return nil
}

// toTimeout is a peer's deadline as a duration within bounds.
func toTimeout(ms uint64, longest time.Duration) time.Duration {
	if ms == 0 || ms > uint64(longest.Milliseconds()) { // positive
		return longest
	}
	return time.Duration(ms) * time.Millisecond // at most longest
}
