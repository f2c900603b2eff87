package hostile

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/certs/certstest"
	"github.com/eastway/eastway/internal/eventlog"
	"github.com/eastway/eastway/tunnel"
)

// buffer is a log in memory.
type buffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

// victim is the tunnel of cluster b, which trusts cluster a.
type victim struct {
	*tunnel.Node

	log     *buffer
	metrics *prometheus.Registry
	worlds  map[string]*certstest.Cluster
}

func startVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{log: &buffer{}, metrics: prometheus.NewRegistry(), worlds: certstest.New(t, "a", "b")}
	v.Node = v.start(t, tunnel.Config{
		Cluster: "b", Credentials: v.worlds["b"].Auth, Listen: "127.0.0.1:0",
		Log: eventlog.New(v.log, zapcore.InfoLevel), Metrics: v.metrics,
	})
	v.SetPeers([]tunnel.Peer{{Name: "a"}})
	return v
}

func (v *victim) start(t *testing.T, cfg tunnel.Config) *tunnel.Node {
	t.Helper()
	cfg.Reason = certs.Reason
	n, err := tunnel.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}
