package failover

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/eastway/eastway/internal/relay"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Results of an attempt, in the access log and in metrics.
const (
	resultAccepted    = "accepted"
	resultRefused     = "refused"
	resultTimeout     = "timeout"
	resultUnreachable = "unreachable"
	resultSuspect     = "suspect"
	resultLost        = "lost"
	resultUnknown     = "unknown"
	resultAbandoned   = "abandoned"
	resultError       = "error"
)

var (
	// errSuspect: the lane fell silent before anything but the header was sent.
	errSuspect = errors.New("the lane is silent")
	// errAttemptTimeout: no answer within the connect timeout.
	errAttemptTimeout = errors.New("no answer within the connect timeout")
)

// candidate is an option that is going to be tried.
type candidate struct {
	option
	// avoid are replicas of the peer that did not take the connection.
	avoid []string
}

// attempt is one try of one candidate. Its goroutine writes it, and hands it to the connector by the results channel.
type attempt struct {
	candidate
	gate    gate
	started time.Time
	timeout time.Duration

	conn    relay.Conn // when a local endpoint accepted
	stream  Stream     // when a peer accepted
	replica string
	took    time.Duration
	err     error
}

// abandon resets what an attempt reached that is no longer wanted, as its client may have reset it: nothing was sent there, and
// a clean end would say that nothing was all there is.
func (a *attempt) abandon() {
	if a.conn != nil {
		reset(a.conn)
	}
	if a.stream != nil {
		a.stream.Reset("another candidate answered first")
	}
}

// dial tries a local endpoint. When the race ends before, it goes on until localVerdict, so that an endpoint that
// swallows connections is found out although others answer first; only the end of life cuts it short.
func (c *connector) dial(life, race context.Context, a *attempt) (relay.Conn, error) {
	ctx, cancel := context.WithTimeout(life, a.timeout)
	defer cancel()
	stop := context.AfterFunc(race, func() { time.AfterFunc(localVerdict-time.Since(a.started), cancel) })
	defer stop()
	conn, err := c.network.Dial(ctx, a.key.address)
	if err != nil {
		return nil, err
	}
	return asConn(conn)
}

// open tries a peer. The header goes out at once; whatever the application has sent follows if the gate is open and the lane is
// not quiet. From then on only an answer, the end of the lane or the end of all attempts ends it: whether the bytes
// were used is not known. Without bytes it is given up as soon as the lane is silent or the answer takes too long.
func (c *connector) open(ctx context.Context, a *attempt) (Stream, error) {
	s, err := c.tunnels.Open(ctx, a.key.peer, c.headerFor(a), a.avoid)
	if err != nil {
		return nil, err
	}
	a.replica = s.Info().Replica
	if s.Quiet() {
		a.gate.close()
	}
	if c.early != nil {
		c.early.start(s, &a.gate)
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

// headerFor is the header that a's peer gets. Its deadline is a round trip earlier than ours, so that the refusal is
// here in time to try another candidate.
func (c *connector) headerFor(a *attempt) *tunnel.Header {
	left := a.timeout
	return &tunnel.Header{
		Namespace: c.key.service.Namespace, Service: c.key.service.Name, Port: uint32(c.key.port), Protocol: "TCP",
		Hostname:       c.key.pod.Hostname,
		Caller:         c.caller,
		CallerLocality: &tunnelpb.Locality{Region: c.callerLocality.Region, Zone: c.callerLocality.Zone},
		Attempts:       peerAttempts,
		Visited:        []string{c.cluster},
		TimeoutMs:      uint64(max(left-a.rtt, left/2, time.Millisecond).Milliseconds()), //nolint:gosec // positive
	}
}

// verdict is what a failed attempt means.
type verdict struct {
	result string
	// failure says that the target is to blame, and how; "" that it is not.
	failure string
	// elsewhere: another replica of the same peer may take the connection.
	elsewhere bool
	// hold: leave the target alone for so long.
	hold time.Duration
	// unknown: bytes were sent and it is not known whether they were used. Nothing else may be tried.
	unknown bool
}

// judge tells what err means, which ended an attempt at k.
func judge(k targetKey, err error) verdict {
	if k.peer == "" {
		return judgeLocal(err)
	}
	var refused *tunnel.RefusedError
	var lost *tunnel.LostError
	switch {
	case errors.As(err, &refused):
		return judgeRefusal(refused)
	case errors.As(err, &lost) && lost.Sent:
		return verdict{result: resultUnknown, unknown: true}
	case errors.As(err, &lost):
		return verdict{result: resultLost, elsewhere: true}
	case errors.Is(err, errSuspect):
		return verdict{result: resultSuspect, elsewhere: true}
	case errors.Is(err, errAttemptTimeout):
		return verdict{result: resultTimeout, failure: kindPeer}
	case errors.Is(err, tunnel.ErrNoLane), errors.Is(err, tunnel.ErrUnknownPeer):
		return verdict{result: resultUnreachable}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return verdict{result: resultAbandoned}
	default:
		return verdict{result: resultError}
	}
}

func judgeRefusal(e *tunnel.RefusedError) verdict {
	switch e.Code {
	case tunnelpb.Answer_CODE_OVERLOADED:
		return verdict{result: resultRefused, hold: e.RetryAfter}
	case tunnelpb.Answer_CODE_DRAINING:
		return verdict{result: resultRefused, elsewhere: true}
	default:
		return verdict{result: resultRefused, failure: kindPeer}
	}
}

func judgeLocal(err error) verdict {
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return verdict{result: resultAbandoned}
	case errors.Is(err, syscall.ECONNREFUSED):
		return verdict{result: resultRefused, failure: kindLocal}
	case isShortage(err):
		return verdict{result: resultError}
	case errors.As(err, &timeout) && timeout.Timeout():
		return verdict{result: resultTimeout, failure: kindLocal}
	default:
		return verdict{result: resultError, failure: kindLocal}
	}
}

// isShortage tells whether this process or host is short of something; the endpoint is not to blame.
func isShortage(err error) bool {
	for _, short := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
	} {
		if errors.Is(err, short) {
			return true
		}
	}
	return false
}
