package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/relay"
)

// piped dials connections to nowhere.
type piped struct{ net.Conn }

func (piped) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	ours, theirs := net.Pipe()
	return piped{ours}, theirs.Close()
}

func (p piped) CloseWrite() error   { return p.Close() }
func (piped) SetLinger(_ int) error { return nil }

// A probe makes TLS where calls do, and offers all that may be spoken on the port: which it will be is not known.
func TestProbeSecures(t *testing.T) {
	t.Parallel()
	errNoTLS := errors.New("no TLS")
	for http, alpn := range map[bool]string{false: "", true: "h2,http/1.1"} {
		var got []originate.To
		d := New(Config{Network: piped{}, Secure: func(_ context.Context, c relay.Conn, to originate.To) (relay.Conn, error) {
			got = append(got, to)
			return nil, errors.Join(errNoTLS, c.Close())
		}})
		c := balance.Candidate{TLS: &discovery.TLS{Host: "a.test"}, Host: "a.test", HTTP: http, ConnectTimeout: time.Minute}
		if err := d.Probe(t.Context(), balance.Key{}, c); !errors.Is(err, errNoTLS) {
			t.Errorf("HTTP %v: %v", http, err)
		}
		if len(got) != 1 || got[0].TLS != c.TLS || got[0].Host != c.Host || got[0].ALPN != alpn {
			t.Errorf("HTTP %v: made TLS %+v", http, got)
		}
	}
}
