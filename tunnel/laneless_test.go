package tunnel

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/tunnel/transport"
	"github.com/eastway/eastway/tunnel/transport/mem"
)

// onlyOnce dials one session, and no more while it is closed.
type onlyOnce struct {
	transport.Transport

	dialed, open atomic.Bool
}

func (t *onlyOnce) Dial(ctx context.Context, to transport.Target) (transport.Session, error) {
	if t.dialed.Swap(true) && !t.open.Load() {
		return nil, errors.New("the path swallows it")
	}
	return t.Transport.Dial(ctx, to)
}

// TestLinkWithoutLane: a replica that is heard and cannot be called is not connected, and status and log say why.
func TestLinkWithoutLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := mem.NewNetwork()
		ca, cb := configs(t, withHandler(echo))
		over := &onlyOnce{Transport: network.Transport("10.0.0.1")}
		ca.Transports, cb.Transports = []transport.Transport{over}, []transport.Transport{network.Transport("10.0.0.2")}
		cb.Listen = "10.0.0.2:443"
		core, logged := observer.New(zap.WarnLevel)
		ca.Log = zap.New(core)
		a, b := startNode(t, ca), startNode(t, cb)
		b.SetPeers([]Peer{{Name: "a"}})
		a.SetPeers([]Peer{{Name: "b", Addresses: []string{cb.Listen}}})
		bubble.Pass(noLaneAfter + 2*tick)
		st := a.Status()[0]
		if st.State != status.Connecting || len(st.Links) != 1 || st.Links[0].State != status.Connecting ||
			!strings.Contains(st.LastError, "swallows") {
			t.Errorf("%+v", st)
		}
		if got := b.Status()[0]; got.State != status.Connecting || got.LastError == "" {
			t.Errorf("the other side: %+v", got)
		}
		lines := logged.FilterMessageSnippet("no lane").All()
		if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), "swallows") {
			t.Errorf("log: %+v", lines)
		}
		over.open.Store(true)
		bubble.Pass(2 * noLaneAfter)
		if st := a.Status()[0]; st.State != status.Connected || st.LastError != "" {
			t.Errorf("with a lane: %+v", st)
		}
	})
}
