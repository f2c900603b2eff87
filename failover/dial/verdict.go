package dial

import (
	"context"
	"errors"
	"net"
	"syscall"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Results of an attempt, in the access log and in metrics.
const (
	Accepted          = "accepted"
	resultRefused     = "refused"
	resultTimeout     = "timeout"
	resultUnreachable = "unreachable"
	resultSuspect     = "suspect"
	resultLost        = "lost"
	resultUnknown     = "unknown"
	resultAbandoned   = "abandoned"
	resultForbidden   = "forbidden"
	resultLimit       = "limit"
	resultError       = "error"
)

// verdict is what a failed attempt means.
type verdict struct {
	balance.Outcome
	result string
	// elsewhere: another replica of the same peer may take the connection.
	elsewhere bool
	// unknown: bytes were sent and it is not known whether they were used. Nothing else may be tried.
	unknown bool
}

// judge is the meaning of err, which ended an attempt at a.
func judge(a balance.Address, err error) verdict {
	if a.Peer == "" {
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
		return blame(resultTimeout, balance.PeerFailure)
	case errors.Is(err, tunnel.ErrFull):
		return verdict{result: resultLimit}
	case errors.Is(err, tunnel.ErrNoLane), errors.Is(err, tunnel.ErrUnknownPeer):
		return verdict{result: resultUnreachable}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return verdict{result: resultAbandoned}
	default:
		return verdict{result: resultError}
	}
}

func blame(result string, f balance.Failure) verdict {
	untaken := result == resultRefused || result == resultTimeout
	return verdict{result: result, Outcome: balance.Outcome{Failure: f, Untaken: untaken}}
}

func judgeRefusal(e *tunnel.RefusedError) verdict {
	switch e.Code {
	case tunnelpb.Answer_CODE_OVERLOADED:
		return verdict{result: resultLimit, Outcome: balance.Outcome{
			RetryAfter: e.RetryAfter, Full: e.Reason == balance.ErrFull.Error(),
		}}
	case tunnelpb.Answer_CODE_DRAINING:
		return verdict{result: resultRefused, elsewhere: true}
	default:
		return blame(resultRefused, balance.PeerFailure)
	}
}

func judgeLocal(err error) verdict {
	var timeout net.Error
	var secure *originate.Error
	switch {
	case errors.As(err, &secure) && secure.Reason == originate.Own:
		return verdict{result: access.TLSFailed}
	case secure != nil:
		v := blame(access.TLSFailed, balance.LocalFailure)
		v.Untaken = true // nothing was sent
		return v
	case errors.Is(err, context.Canceled):
		return verdict{result: resultAbandoned}
	case errors.Is(err, ErrForbidden):
		return blame(resultForbidden, balance.LocalFailure)
	case errors.Is(err, syscall.ECONNREFUSED):
		return blame(resultRefused, balance.LocalFailure)
	case shortage.Of(err) != "":
		return verdict{result: resultLimit}
	case errors.As(err, &timeout) && timeout.Timeout():
		return blame(resultTimeout, balance.LocalFailure)
	default:
		v := blame(resultError, balance.LocalFailure)
		v.Untaken = !errors.Is(err, syscall.ECONNRESET)
		return v
	}
}

// isOverloaded: the peer has met a limit of its own; it is not broken.
func isOverloaded(e *tunnel.RefusedError) bool { return e.Code == tunnelpb.Answer_CODE_OVERLOADED }
