package discovery

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// family is a proxy that passes on to a controller.
type family struct {
	proxy            *side
	controller       *Catalog
	follower         *Follower
	link             *pipeConn
	served, followed chan error
	states           atomic.Pointer[[]PeerConnectivity]
}

func newFamily(t *testing.T, known ...string) *family {
	t.Helper()
	f := &family{proxy: newSide(t, "a", 7, []string{"b", "c"}), controller: NewCatalog(nil)}
	f.controller.SetLocal(localWith(known))
	f.follower = NewFollower(f.controller)
	f.states.Store(&[]PeerConnectivity{})
	f.proxy.exchange.cfg.PeerStates = func() []PeerConnectivity { return *f.states.Load() }
	f.connect(t.Context())
	return f
}

func (f *family) connect(ctx context.Context) {
	near, far := newPipe()
	served, followed, follower := make(chan error, 1), make(chan error, 1), f.follower
	f.link, f.served, f.followed = near, served, followed
	go func() { served <- f.proxy.exchange.ServeSibling(ctx, "controller", near) }()
	go func() { followed <- follower.Follow(ctx, "proxy-1", far) }()
}

func (f *family) cut() {
	f.link.cut()
	<-f.served
	<-f.followed
}

// advertise makes a peer's replica send the update to the proxy.
func (f *family) advertise(t *testing.T, l ReplicaID, u Update) {
	t.Helper()
	must(t, f.proxy.catalog.UpdateRemote(l, u))
	bubble.Pass(2 * coalesce)
}

func exporters(c *Catalog, n ServiceName) string {
	s := c.Snapshot().Services.Get(n)
	if s == nil {
		return ""
	}
	out := ""
	for i := range s.Peers {
		p := &s.Peers[i]
		total := uint32(0)
		for _, r := range p.Readiness {
			total += r.Ready
		}
		out += fmt.Sprintf("%s:%d ", p.Peer, total)
	}
	return out
}

func TestSiblings(t *testing.T) {
	t.Parallel()
	other := ServiceName{"demo", "other"}
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t, "b", "c")
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 2, echo, other))
		f.advertise(t, ReplicaID{"c", "c1"}, updateOf(1, 0, 1, 3, echo))
		check := func(when, wantEcho, wantOther string) {
			t.Helper()
			if e, o := exporters(f.controller, echo), exporters(f.controller, other); e != wantEcho || o != wantOther {
				t.Fatalf("%s: echo of %q, other of %q, want %q and %q", when, e, o, wantEcho, wantOther)
			}
		}
		check("sent", "b:2 c:3 ", "b:2 ")
		f.advertise(t, ReplicaID{"b", "b1"}, Update{
			Epoch: 1, Base: 1, Revision: 2, Withdrawn: []ServiceName{other},
			Readiness: map[ServiceName]Endpoints{echo: {Rows: []Readiness{{Port: 80, Ready: 5, Total: 5}}}},
		})
		check("changed", "b:5 c:3 ", "")
		before := f.controller.Snapshot()
		f.advertise(t, ReplicaID{"c", "c1"}, updateOf(1, 0, 2, 3, echo))
		if f.controller.Snapshot() != before {
			t.Error("the same again is a change")
		}
		if w := f.controller.peers["b"].current; !w.linked {
			t.Error("b is not linked")
		}
		f.proxy.catalog.ForgetReplica(ReplicaID{"b", "b1"})
		bubble.Pass(2 * coalesce)
		check("b is gone: its last advert is kept", "b:5 c:3 ", "")
		if w := f.controller.peers["b"].current; w.linked {
			t.Error("b is still linked")
		}
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 0, 3, 5, echo))
		if w := f.controller.peers["b"].current; !w.linked {
			t.Error("b is back and not linked")
		}
		f.cut()
		check("the proxy is gone", "b:5 c:3 ", "")
		f.connect(t.Context())
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 3, 4, 1, echo))
		check("the proxy is back", "b:1 c:3 ", "")
		f.cut()
	})
}

// The proxy knows of a Peer before the controller does.
func TestSiblingsKnowPeersEarlier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t)
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 2, echo))
		f.controller.SetLocal(localWith([]string{"b"}))
		bubble.Pass(3 * resyncInterval)
		if got := exporters(f.controller, echo); got != "b:2 " {
			t.Errorf("exporters = %q", got)
		}
		f.cut()
	})
}

// The controller drops a Peer that is made again at once; the proxy, which has not noticed, sends what it knows of it again.
func TestSiblingsKeepAPeerThatIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t, "b")
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 2, echo))
		f.controller.SetLocal(localWith(nil))
		f.controller.SetLocal(localWith([]string{"b"}))
		bubble.Pass(3 * resyncInterval)
		if got := exporters(f.controller, echo); got != "b:2 " {
			t.Errorf("exporters = %q", got)
		}
		f.cut()
	})
}

// What a proxy learned of an exporter before it was linked to the controller is passed on as the last known state.
func TestSiblingForwardsLastAdverts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t, "b", "c")
		f.advertise(t, ReplicaID{"b", "b1"}, updateOf(1, 0, 1, 2, echo))
		f.cut()
		f.proxy.catalog.ForgetReplica(ReplicaID{"b", "b1"})
		f.controller = NewCatalog(nil)
		f.controller.SetLocal(localWith([]string{"b", "c"}))
		f.follower = NewFollower(f.controller)
		f.connect(t.Context())
		bubble.Pass(2 * coalesce)
		if got := exporters(f.controller, echo); got != "b:2 " {
			t.Errorf("exporters = %q", got)
		}
		if f.controller.peers["b"].current.linked {
			t.Error("b is linked")
		}
		f.cut()
	})
}

func TestPeerStates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t, "b")
		states := []PeerConnectivity{
			{Peer: "b", Links: []PeerLink{{
				Replica: "b1", State: "connected", Dialed: true, TCPLanes: 2, QUICLanes: 1, RTT: 20 * time.Millisecond, Version: "v1",
			}}},
			{Peer: "c", Error: "its certificate has expired; renew it there: " + strings.Repeat("x", 200), Reason: "expired"},
		}
		f.states.Store(&states)
		bubble.Pass(2 * peerStatesInterval)
		got, changed := f.follower.PeerStates()
		if !reflect.DeepEqual(got, map[string][]PeerConnectivity{"proxy-1": states}) {
			t.Errorf("states = %+v", got)
		}
		slower := []PeerConnectivity{{Peer: "b", Links: []PeerLink{states[0].Links[0]}}, states[1]}
		slower[0].Links[0].RTT += time.Millisecond
		f.states.Store(&slower)
		bubble.Pass(2 * peerStatesInterval)
		select {
		case <-changed:
			t.Error("a little more round trip is a change")
		default:
		}
		f.cut()
		if got, _ := f.follower.PeerStates(); len(got) != 0 {
			t.Errorf("states of proxies that are gone: %+v", got)
		}
	})
}

// TestOlderLinkOfAProxyEnds: the older of two links to a proxy ends; the newer one's states and adverts stay.
func TestOlderLinkOfAProxyEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFamily(t, "b")
		states := []PeerConnectivity{{Peer: "b", Links: []PeerLink{{Replica: "b1", State: "connected", Dialed: true}}}}
		f.states.Store(&states)
		bubble.Pass(2 * peerStatesInterval)
		old, served, followed := f.link, f.served, f.followed
		f.connect(t.Context())
		bubble.Pass(2 * peerStatesInterval)
		old.cut()
		<-served
		<-followed
		bubble.Pass(20 * peerStatesInterval)
		if got, _ := f.follower.PeerStates(); len(got) != 1 || len(got["proxy-1"]) != 1 {
			t.Errorf("states of the proxy that is still linked: %+v", got)
		}
		f.cut()
	})
}
