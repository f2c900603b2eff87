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

// inTime says of a deadline that passed how long it was.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", handshakeTimeout, err)
	}
	return err
}
