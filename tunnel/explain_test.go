package tunnel

import (
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
