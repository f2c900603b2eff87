package certs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/eastway/eastway/certs"
)

func TestReason(t *testing.T) {
	t.Parallel()
	verify := &certs.VerifyError{Reason: certs.ReasonExpired, Peer: "cluster-b", Err: errors.New("old")}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{verify, certs.ReasonExpired},
		{fmt.Errorf("dial: %w", verify), certs.ReasonExpired},
		{&certs.VerifyError{Reason: "made up"}, certs.ReasonOther},
		{errors.New("tls: client didn't provide a certificate"), certs.ReasonNoCertificate},
		{errors.New("tls: client offered only unsupported versions: [303]"), certs.ReasonTLSVersion},
		{errors.New(`tls: client requested unsupported application protocols ["h2"]`), certs.ReasonALPN},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, certs.ReasonRefusedByPeer},
		{&quic.TransportError{Remote: true, ErrorCode: 0x12a}, certs.ReasonRefusedByPeer},
		{fmt.Errorf("dial: %w", &quic.TransportError{Remote: true, ErrorCode: 0x128, ErrorMessage: "no"}), certs.ReasonRefusedByPeer},
		{&quic.TransportError{ErrorCode: 0x12a}, certs.ReasonOther},
		{&quic.TransportError{Remote: true, ErrorCode: quic.ConnectionRefused}, certs.ReasonOther},
		{errors.New("CRYPTO_ERROR 0x1"), certs.ReasonOther},
		{&net.OpError{Op: "read", Err: errors.New("connection reset")}, certs.ReasonOther},
		{io.EOF, certs.ReasonOther},
		{context.DeadlineExceeded, certs.ReasonOther},
	} {
		got := certs.Reason(c.err)
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
		if c.err != nil && !slices.Contains(certs.Reasons(), got) {
			t.Errorf("%q is not in the bounded set", got)
		}
	}
}
