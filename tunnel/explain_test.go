package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	err := errors.Join(fmt.Errorf("tunnel: TCP to peer b: %w", net.ErrClosed), errors.New("tunnel: QUIC: certs: refused"))
	if got, want := plain(err), "TCP to peer b: use of closed network connection; QUIC: refused"; got != want {
		t.Errorf("plain = %q, want %q", got, want)
	}
}

func TestIsAlert(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"none":         {nil, false},
		"TCP":          {fmt.Errorf("x: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}), true},
		"TCP reset":    {&net.OpError{Op: "read", Err: errors.New("reset")}, false},
		"QUIC":         {fmt.Errorf("x: %w", &quic.TransportError{Remote: true, ErrorCode: 0x12a}), true},
		"QUIC, ours":   {&quic.TransportError{ErrorCode: 0x12a}, false},
		"QUIC, other":  {&quic.TransportError{Remote: true, ErrorCode: quic.InternalError}, false},
		"our deadline": {context.DeadlineExceeded, false},
	} {
		if got := isAlert(tt.err); got != tt.want {
			t.Errorf("%s: isAlert(%v) = %v", name, tt.err, got)
		}
	}
}

// What an operator reads names the cause, whichever transport brought the alert.
func TestRefusedBy(t *testing.T) {
	t.Parallel()
	const cause = "peer b refused our certificate: it has no Peer for this cluster, or one with another root (run"
	for name, tt := range map[string]struct {
		alert error
		want  string
	}{
		"TCP":   {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, cause},
		"QUIC":  {&quic.TransportError{Remote: true, ErrorCode: 0x12a}, cause},
		"other": {&net.OpError{Op: "remote error", Err: errors.New("tls: no application protocol")}, "peer b at b.example.com:1 refused us"},
	} {
		got := refusedBy("b", "b.example.com:1", tt.alert)
		if !errors.Is(got, tt.alert) || !strings.HasPrefix(plain(got), tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestInTime(t *testing.T) {
	t.Parallel()
	if got := inTime(context.DeadlineExceeded); !strings.Contains(got.Error(), "no answer within 5s") || !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("a deadline is %v", got)
	}
	if got := inTime(net.ErrClosed); !errors.Is(got, net.ErrClosed) || got.Error() != net.ErrClosed.Error() {
		t.Errorf("another error is %v", got)
	}
}
