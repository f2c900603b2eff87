package dial

import (
	"context"
	"errors"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

var (
	// errSuspect: the lane fell silent before anything but the header was sent.
	errSuspect = errors.New("the lane is silent")
	// errAttemptTimeout: no answer within the connect timeout.
	errAttemptTimeout = errors.New("no answer within the connect timeout")
)

// attempt is one try of one candidate. Its goroutine writes it, and hands it to the race by the results channel.
type attempt struct {
	entrant
	use     *balance.Use
	gate    gate
	started time.Time
	timeout time.Duration

	conn    relay.Conn // when a local endpoint accepted
	stream  Stream     // when a peer accepted
	replica string
	pending bool // the peer has not answered
	took    time.Duration
	err     error
}

// abandon resets what an attempt reached that is no longer wanted, as its client may have reset it: nothing was sent there, and
// a clean end would mean that nothing was all there is.
func (a *attempt) abandon() {
	if a.conn != nil {
		_ = a.conn.SetLinger(0)
		_ = a.conn.Close()
	}
	if a.stream != nil {
		a.stream.Reset("another candidate answered first")
	}
}

// dial tries a local endpoint. When the race ends before, it goes on until localVerdict, so that an endpoint that
// swallows connections is found out although others answer first; only the end of life cuts it short.
func (r *race) dial(life, race context.Context, a *attempt) (relay.Conn, error) {
	ctx, cancel := context.WithTimeout(life, a.timeout)
	defer cancel()
	stop := context.AfterFunc(race, func() { time.AfterFunc(localVerdict-time.Since(a.started), cancel) })
	defer stop()
	return r.dialLocal(ctx, endpointOf(&a.Candidate, r.alpn()))
}

// endpointOf is a candidate of the own cluster, of which that protocol is going to be spoken.
func endpointOf(c *balance.Candidate, alpn string) originate.To {
	return originate.To{TLS: c.TLS, Address: c.Endpoint, Host: c.Host, ALPN: alpn}
}

// alpn is what an endpoint with TLS learns.
func (r *Request) alpn() string {
	switch {
	case r.HTTP && r.H2:
		return originate.HTTP2
	case r.HTTP:
		return originate.HTTP1
	}
	return ""
}

// open tries a peer. The header goes out at once; whatever the application has sent follows if the gate is open and the lane is
// not quiet. From then on only an answer, the end of the lane or the end of all attempts ends it: whether the bytes
// were used is not known. Without bytes it is given up as soon as the lane is silent or the answer takes too long.
func (r *race) open(ctx context.Context, a *attempt) (Stream, error) {
	s, err := r.cfg.Tunnels.Open(ctx, a.Peer, r.headerTo(a), a.avoid)
	if err != nil {
		return nil, err
	}
	a.replica = s.Info().Replica
	if s.Quiet() {
		a.gate.close()
	}
	if r.Early != nil {
		r.Early.start(s, &a.gate)
	}
	if r.Eager && a.gate.commit() {
		a.pending = true
		return s, nil
	}
	timer := time.NewTimer(a.timeout)
	defer timer.Stop()
	suspect, timeout := s.Suspect(), timer.C
	for {
		select {
		case <-s.Answered():
			if err := s.Outcome(); err != nil {
				s.Reset("not accepted") // ends a write that may be under way
				return nil, err
			}
			return s, nil
		case <-suspect:
			suspect, err = nil, errSuspect
		case <-timeout:
			timeout, err = nil, errAttemptTimeout
		case <-ctx.Done():
			s.Reset("the connection was given up")
			return nil, context.Cause(ctx)
		}
		if a.gate.close() {
			s.Reset(err.Error())
			return nil, err
		}
	}
}

func (r *race) headerTo(a *attempt) *tunnel.Header {
	h := r.header(r.Key, r.Caller, r.CallerLocality, a.timeout, a.RTT)
	h.Http = r.HTTP && a.HTTP
	return h
}

// header is what a peer gets that is rtt away. Its deadline is a round trip earlier than ours, so that the refusal is
// here in time to try another candidate.
func (d *Dialer) header(k balance.Key, caller string, at discovery.Locality, timeout, rtt time.Duration) *tunnel.Header {
	return &tunnel.Header{
		Namespace: k.Service.Namespace, Service: k.Service.Name, Port: uint32(k.Port), Protocol: discovery.TCP,
		Hostname:       k.Pod.Hostname,
		Caller:         caller,
		CallerLocality: &tunnelpb.Locality{Region: at.Region, Zone: at.Zone},
		Attempts:       peerAttempts,
		Visited:        []string{d.cfg.Cluster},
		TimeoutMs:      uint64(max(timeout-rtt, timeout/2, time.Millisecond).Milliseconds()), // positive
	}
}
