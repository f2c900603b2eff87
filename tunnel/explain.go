package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/quic-go/quic-go"
)

// reasonOther is what Config.Reason returns for what has nothing to do with trust.
const reasonOther = "other"

// plain is an error in one line, without the names of packages.
func plain(err error) string {
	return strings.NewReplacer("\n", "; ", "tunnel: ", "", "certs: ", "").Replace(err.Error())
}

// isAlert tells whether err is a TLS alert of the other side.
func isAlert(err error) bool {
	if crypto, ok := errors.AsType[*quic.TransportError](err); ok {
		return crypto.Remote && crypto.ErrorCode.IsCryptoError()
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// refusedBy says what a peer's alert means. An alert says no more than that our certificate did not do: what is wrong with it, and
// mostly what is to be mended, is at the peer. That comes first: of the words that reach a Peer's status the end is cut off.
func refusedBy(peer, addr string, alert error) error {
	if !strings.Contains(alert.Error(), "certificate") {
		return fmt.Errorf("tunnel: peer %s at %s refused us, its log says why: %w", peer, addr, alert)
	}
	return fmt.Errorf("tunnel: peer %s refused our certificate: it has no Peer for this cluster, or one with another root "+
		"(run 'eastway peer list' there), or clocks differ: the log of %s says which: %w", peer, addr, alert)
}

// inTime says of a deadline that passed how long it was.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", handshakeTimeout, err)
	}
	return err
}
