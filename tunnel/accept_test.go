package tunnel

import (
	"context"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/internal/descriptors"
	"github.com/eastway/eastway/internal/shortage"
	"github.com/eastway/eastway/tunnel/admission"
	"github.com/eastway/eastway/tunnel/transport"
)

// shortListener cannot accept so many times, for want of descriptors.
type shortListener struct {
	net.Listener
	errors int
}

func (l *shortListener) Accept() (net.Conn, error) {
	if l.errors--; l.errors >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// TestNotAccepted: a proxy that cannot accept tunnels goes on, and the operator sees why: once in the log, in status, and in the metric.
func TestNotAccepted(t *testing.T) {
	t.Parallel()
	const tries = 4
	reg := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	p := newPair(t, func(a, b *Config) {
		a.DisableQUIC = true
		b.Transports = []transport.Transport{transport.NewTCP(transport.TCPConfig{
			Listen: func(ctx context.Context, addr string) (net.Listener, error) {
				l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
				return &shortListener{l, tries}, err
			},
		})}
		b.Metrics, b.Log = reg, zap.New(core)
	})
	if n := testutil.ToFloat64(shortage.Counter(reg).WithLabelValues(string(shortage.Files))); n != tries {
		t.Errorf("%v counted", n)
	}
	const what = "tunnel port: connections refused"
	if all := logs.FilterMessageSnippet(what).All(); len(all) != 1 || all[0].ContextMap()["remedy"] != shortage.MoreFiles {
		t.Errorf("the log has %v", logs.All())
	}
	if said := strings.Join(p.b.Problems(), "\n"); !strings.Contains(said, what) || !strings.Contains(said, "(4×") {
		t.Errorf("status has %q", said)
	}
}

// TestFewHandshakes: a process that may open few files admits few connections that have not proved who they are.
func TestFewHandshakes(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Cluster: "a", Credentials: certstest.New(t, "a")["a"].Auth})
	reserve := int(descriptors.Reserve(descriptors.Limit()))
	if want := min(admission.MaxHandshakes, reserve/4); n.gate.Most != want {
		t.Errorf("%d, want %d", n.gate.Most, want)
	}
}
