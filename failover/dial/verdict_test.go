package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/tunnel"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	peer := balance.Address{Peer: "a"}
	dialError := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	refused := func(code tunnel.Code) error { return &tunnel.RefusedError{Code: code, RetryAfter: time.Second} }
	blames := func(result string, f balance.Failure) verdict {
		return verdict{result: result, Outcome: balance.Outcome{Failure: f, Untaken: true}}
	}
	noTLS := func(r originate.Reason) error {
		return fmt.Errorf("x: %w", &originate.Error{Reason: r, Err: syscall.ECONNRESET})
	}
	resets := verdict{result: resultError, Outcome: balance.Outcome{Failure: balance.LocalFailure}}
	full := &tunnel.RefusedError{Code: tunnelpb.Answer_CODE_OVERLOADED, RetryAfter: time.Second, Reason: balance.ErrFull.Error()}
	busy := verdict{result: resultLimit, Outcome: balance.Outcome{RetryAfter: time.Second}}
	for name, tt := range map[string]struct {
		at   balance.Address
		err  error
		want verdict
	}{
		"an endpoint refuses":          {err: dialError(syscall.ECONNREFUSED), want: blames(resultRefused, balance.LocalFailure)},
		"an endpoint resets":           {err: dialError(syscall.ECONNRESET), want: resets},
		"an endpoint has no route":     {err: dialError(syscall.EHOSTUNREACH), want: blames(resultError, balance.LocalFailure)},
		"the host has no route":        {err: dialError(syscall.ENETUNREACH), want: blames(resultError, balance.LocalFailure)},
		"an endpoint does not answer":  {err: dialError(syscall.ETIMEDOUT), want: blames(resultTimeout, balance.LocalFailure)},
		"the connect timeout":          {err: context.DeadlineExceeded, want: blames(resultTimeout, balance.LocalFailure)},
		"out of descriptors":           {err: dialError(syscall.EMFILE), want: verdict{result: resultLimit}},
		"out of ports":                 {err: dialError(syscall.EADDRNOTAVAIL), want: verdict{result: resultLimit}},
		"an endpoint without TLS":      {err: noTLS(originate.Expired), want: blames(access.TLSFailed, balance.LocalFailure)},
		"no certificate of our own":    {err: noTLS(originate.Own), want: verdict{result: access.TLSFailed}},
		"given up":                     {err: context.Canceled, want: verdict{result: resultAbandoned}},
		"a peer has no endpoint":       {peer, refused(tunnelpb.Answer_CODE_UNAVAILABLE), blames(resultRefused, balance.PeerFailure)},
		"a peer has no such service":   {peer, refused(tunnelpb.Answer_CODE_NOT_FOUND), blames(resultRefused, balance.PeerFailure)},
		"a replica drains":             {peer, refused(tunnelpb.Answer_CODE_DRAINING), verdict{result: resultRefused, elsewhere: true}},
		"a peer is overloaded":         {peer, refused(tunnelpb.Answer_CODE_OVERLOADED), busy},
		"a peer's endpoints are full":  {peer, full, verdict{result: resultLimit, Outcome: balance.Outcome{RetryAfter: time.Second, Full: true}}},
		"lost with bytes sent":         {peer, &tunnel.LostError{Sent: true, Err: errors.New("cut")}, verdict{result: resultUnknown, unknown: true}},
		"lost with the header only":    {peer, &tunnel.LostError{Err: errors.New("cut")}, verdict{result: resultLost, elsewhere: true}},
		"the lane is silent":           {peer, errSuspect, verdict{result: resultSuspect, elsewhere: true}},
		"a peer does not answer":       {peer, errAttemptTimeout, blames(resultTimeout, balance.PeerFailure)},
		"no place on a lane":           {peer, fmt.Errorf("open: %w", tunnel.ErrFull), verdict{result: resultLimit}},
		"no lane":                      {peer, fmt.Errorf("open: %w", tunnel.ErrNoLane), verdict{result: resultUnreachable}},
		"not a peer any more":          {peer, tunnel.ErrUnknownPeer, verdict{result: resultUnreachable}},
		"a peer's attempt is given up": {peer, context.Canceled, verdict{result: resultAbandoned}},
		"what has no name":             {peer, errors.New("odd"), verdict{result: resultError}},
	} {
		if got := judge(tt.at, tt.err); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestIsInconclusive(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		tunnel.ErrNoLane:      true,
		tunnel.ErrFull:        true,
		tunnel.ErrUnknownPeer: true,
		errSuspect:            true,
		context.Canceled:      true,
		syscall.EMFILE:        true,
		&originate.Error{Reason: originate.Own, Err: errors.New("no file")}:     true,
		&originate.Error{Reason: originate.Expired, Err: errors.New("expired")}: false,
		&tunnel.LostError{Err: errors.New("cut")}:                               true,
		&tunnel.RefusedError{Code: tunnelpb.Answer_CODE_DRAINING}:               true,
		&tunnel.RefusedError{Code: tunnelpb.Answer_CODE_OVERLOADED}:             true,
		&tunnel.RefusedError{Code: tunnelpb.Answer_CODE_UNAVAILABLE}:            false,
		fmt.Errorf("%w: deadline", errAttemptTimeout):                           false,
		&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}:         false,
	} {
		if got := isInconclusive(err); got != want {
			t.Errorf("%v: %t, want %t", err, got, want)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	for range 2 {
		if !g.commit() || g.close() {
			t.Error("a gate with bytes sent was closed")
		}
	}
	var closed gate
	for range 2 {
		if !closed.close() || closed.commit() {
			t.Error("bytes pass a closed gate")
		}
	}
}
