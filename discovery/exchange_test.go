package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/bubble"
)

// pipeConn is one end of a link in memory.
type pipeConn struct {
	in, out chan []byte
	closed  chan struct{}
}

func newPipe() (a, b *pipeConn) {
	x, y, closed := make(chan []byte, 64), make(chan []byte, 64), make(chan struct{})
	return &pipeConn{x, y, closed}, &pipeConn{y, x, closed}
}

func (p *pipeConn) cut() { close(p.closed) }

func (p *pipeConn) Send(ctx context.Context, msg []byte) error {
	if len(msg) > messageSize {
		return fmt.Errorf("message of %d bytes", len(msg))
	}
	select {
	case p.out <- msg:
		return nil
	case <-p.closed:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pipeConn) Receive(ctx context.Context) ([]byte, error) {
	select {
	case m := <-p.in:
		return m, nil
	case <-p.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// side is one cluster's end of the exchange.
type side struct {
	catalog  *Catalog
	exchange *Exchange
	registry *prometheus.Registry
	logs     *observer.ObservedLogs
}

func newSide(t *testing.T, cluster string, epoch uint64, peers []string, services ...ServiceName) *side {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	reg := prometheus.NewPedanticRegistry()
	s := &side{catalog: NewCatalog(reg), registry: reg, logs: logs}
	s.catalog.SetLocal(localWith(peers, services...))
	var err error
	s.exchange, err = NewExchange(ExchangeConfig{
		Cluster: cluster, Catalog: s.catalog, Epoch: epoch, Log: zap.New(core), Registerer: reg,
	})
	must(t, err)
	return s
}

// serve runs one end and returns how it ended.
func serve(ctx context.Context, s *side, peer, replica string, conn Conn) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.exchange.Serve(ctx, peer, replica, conn) }()
	return done
}

// puppet plays a peer by hand.
type puppet struct {
	t    *testing.T
	conn *pipeConn
}

func (p *puppet) send(m *catalogpb.Message) {
	p.t.Helper()
	b, err := marshal(m)
	must(p.t, err)
	must(p.t, p.conn.Send(p.t.Context(), b))
	synctest.Wait()
}

func (p *puppet) update(u *catalogpb.Update) {
	p.t.Helper()
	p.send(&catalogpb.Message{Message: &catalogpb.Message_Update{Update: u}})
}

// got is what has arrived at the puppet by now.
func (p *puppet) got() []*catalogpb.Message {
	p.t.Helper()
	synctest.Wait()
	var all []*catalogpb.Message
	for {
		select {
		case b := <-p.conn.in:
			m := new(catalogpb.Message)
			must(p.t, proto.Unmarshal(b, m))
			all = append(all, m)
		default:
			return all
		}
	}
}

func snapshotOf(epoch, revision uint64, ready uint32, names ...ServiceName) *catalogpb.Update {
	u := &catalogpb.Update{Cluster: "b", Epoch: epoch, Revision: revision, Last: true}
	for _, n := range names {
		s := &catalogpb.Service{Namespace: n.Namespace, Name: n.Name}
		u.Exports = append(u.Exports, &catalogpb.Export{Service: s, Ports: []*catalogpb.Port{{Port: 80, Protocol: TCP}}})
		row := &catalogpb.Readiness_Row{Port: 80, Ready: ready, Total: ready}
		u.Readiness = append(u.Readiness, &catalogpb.Readiness{Service: s, Rows: []*catalogpb.Readiness_Row{row}})
	}
	return u
}

func TestExchangeBothWays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		third := ServiceName{Namespace: "demo", Name: "third"}
		hidden := ServiceName{Namespace: "demo", Name: "hidden"}
		mine := ServiceName{Namespace: "demo", Name: "mine"}
		a := newSide(t, "a", 1, []string{"b", "c"}, echo, mine, hidden)
		local := localWith([]string{"b", "c"}, echo, mine, hidden)
		local.Services.Get(hidden).Export = nil
		a.catalog.SetLocal(local)
		must(t, a.catalog.UpdateRemote(ReplicaID{"c", "c1"}, updateOf(1, 0, 1, 5, third)))
		b := newSide(t, "b", 1, []string{"a"}, echo)
		ca, cb := newPipe()
		doneA, doneB := serve(ctx, a, "b", "b1", ca), serve(ctx, b, "a", "a1", cb)
		synctest.Wait()

		if s := a.catalog.Snapshot().Services.Get(echo); len(s.Peers) != 1 || s.Peers[0].Readiness[0].Ready != 1 {
			t.Errorf("a knows of echo: %+v", s.Peers)
		}
		inB := b.catalog.Snapshot().Services
		if s := inB.Get(mine); s == nil || s.Peers[0].Peer != "a" || len(s.Endpoints) != 0 {
			t.Errorf("b knows of mine: %+v", s)
		}
		if inB.Get(third) != nil {
			t.Error("an import was exported again")
		}
		if inB.Get(hidden) != nil {
			t.Error("a service without a ServiceExport was sent")
		}
		cancel()
		for _, done := range []<-chan error{doneA, doneB} {
			if err := <-done; err != nil {
				t.Errorf("Serve after the end of its context: %v", err)
			}
		}
		if b.catalog.Snapshot().Services.Get(mine) == nil {
			t.Error("the last advert was not kept")
		}
		const want = `# HELP eastway_discovery_services Services in the catalog.
# TYPE eastway_discovery_services gauge
eastway_discovery_services{origin="both"} 1
eastway_discovery_services{origin="local"} 0
eastway_discovery_services{origin="peer"} 1
`
		if err := testutil.GatherAndCompare(b.registry, strings.NewReader(want), "eastway_discovery_services"); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsSentBeforeTheSourceIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := NewCatalog(nil)
		x, err := NewExchange(ExchangeConfig{Cluster: "a", Catalog: c})
		must(t, err)
		near, far := newPipe()
		p := &puppet{t, far}
		done := serve(ctx, &side{exchange: x}, "b", "b1", near)
		if got := p.got(); len(got) != 0 {
			t.Fatalf("sent: %v", got)
		}
		c.SetLocal(localWith([]string{"b"}))
		bubble.Pass(coalesce)
		if got := p.got(); len(got) != 1 || got[0].GetUpdate().GetBase() != 0 || !got[0].GetUpdate().GetLast() {
			t.Fatalf("sent: %v, want an empty snapshot", got)
		}
		cancel()
		must(t, <-done)
	})
}

func TestDeltasAreCoalesced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 9, []string{"b"}, echo)
		near, far := newPipe()
		p := &puppet{t, far}
		done := serve(ctx, a, "b", "b1", near)
		if got := p.got(); len(got) != 1 {
			t.Fatalf("first messages: %v", got)
		}
		bubble.Pass(time.Second)
		change := func(ready int) {
			l := localWith([]string{"b"}, echo)
			l.Services = l.Services.With(echo, newService(echo, ready))
			a.catalog.SetLocal(l)
			synctest.Wait()
		}
		start := time.Now()
		for i := range 10 { // within 90 ms
			change(i + 2)
			bubble.Pass(coalesce / 10)
		}
		bubble.Pass(coalesce)
		got := p.got()
		if len(got) != 2 {
			t.Fatalf("%d messages after %s, want the first change at once and the rest together", len(got), time.Since(start))
		}
		first, last := got[0].GetUpdate(), got[1].GetUpdate()
		if first.GetBase() != 1 || first.GetRevision() != 2 || last.GetBase() != 2 || last.GetRevision() != 11 ||
			last.GetEpoch() != 9 {
			t.Errorf("deltas %v, %v", first, last)
		}
		if len(last.GetExports()) != 0 || last.GetReadiness()[0].GetRows()[0].GetReady() != 11 {
			t.Errorf("last delta = %v, want the readiness alone", last)
		}
		a.catalog.SetLocal(localWith([]string{"b"}))
		bubble.Pass(coalesce)
		if got := p.got(); len(got) != 1 || got[0].GetUpdate().GetWithdrawn()[0].GetName() != "echo" {
			t.Errorf("after the service went: %v", got)
		}
		cancel()
		must(t, <-done)
	})
}

func TestGapIsHealedBySnapshot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 1, []string{"b"})
		near, far := newPipe()
		p := &puppet{t, far}
		done := serve(ctx, a, "b", "b1", near)
		p.got()
		p.update(snapshotOf(7, 3, 1, echo))
		count := func(d time.Duration) (n int) {
			bubble.Pass(d)
			for _, m := range p.got() {
				if m.GetResync() != nil {
					n++
				}
			}
			return n
		}
		for i := range uint64(5) { // no 3 → 4
			bubble.Pass(2 * coalesce)
			p.update(&catalogpb.Update{Cluster: "b", Epoch: 7, Base: 4 + i, Revision: 5 + i, Last: true})
		}
		if n := count(time.Second); n != 1 {
			t.Errorf("requested %d snapshots, want one", n)
		}
		if ready(a.catalog) != 1 {
			t.Error("the last good state was lost")
		}
		p.update(&catalogpb.Update{Cluster: "b", Epoch: 7, Base: 9, Revision: 10, Last: true})
		if n := count(2 * resyncInterval); n != 1 {
			t.Errorf("requested %d more snapshots, want one, later", n)
		}
		p.update(snapshotOf(7, 11, 4, echo))
		if ready(a.catalog) != 4 {
			t.Errorf("ready = %d after the snapshot", ready(a.catalog))
		}
		p.update(&catalogpb.Update{Cluster: "b", Epoch: 7, Base: 12, Revision: 13, Last: true})
		count(2 * coalesce)
		p.update(&catalogpb.Update{Cluster: "b", Epoch: 7, Base: 13, Revision: 14, Last: true})
		p.update(snapshotOf(7, 15, 4, echo))
		if n := count(2 * resyncInterval); n != 0 {
			t.Errorf("requested %d snapshots that had come", n)
		}
		// The other way round: this side gets the request.
		for range 5 {
			p.send(&catalogpb.Message{Message: &catalogpb.Message_Resync{Resync: &catalogpb.Resync{}}})
		}
		bubble.Pass(coalesce)
		if got := p.got(); len(got) != 1 || got[0].GetUpdate().GetBase() != 0 {
			t.Errorf("answers to five requests at once: %v", got)
		}
		cancel()
		must(t, <-done)
	})
}

func TestReconnectAndReplicaChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 1, []string{"b"})
		b1, b2 := newSide(t, "b", 1, []string{"a"}, echo), newSide(t, "b", 2, []string{"a"}, echo)

		near, far := newPipe()
		done, farDone := serve(ctx, a, "b", "b1", near), serve(ctx, b1, "a", "a1", far)
		synctest.Wait()
		revision := a.catalog.Snapshot().Revision
		near.cut()
		if err := <-done; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Serve on a cut link: %v", err)
		}
		<-farDone
		bubble.Pass(time.Hour)
		if ready(a.catalog) != 1 {
			t.Fatal("a disconnected peer's exports are gone")
		}

		near, far = newPipe()
		done1, far1 := serve(ctx, a, "b", "b1", near), serve(ctx, b1, "a", "a1", far)
		near2, far2 := newPipe()
		done2, farDone2 := serve(ctx, a, "b", "b2", near2), serve(ctx, b2, "a", "a1", far2)
		synctest.Wait()
		if got := a.catalog.Snapshot().Revision; got != revision {
			t.Errorf("revision went from %d to %d while all replicas advertised the same", revision, got)
		}
		l := localWith([]string{"a"}, echo)
		l.Services = l.Services.With(echo, newService(echo, 3))
		b1.catalog.SetLocal(l)
		bubble.Pass(coalesce)
		synctest.Wait()
		if ready(a.catalog) != 1 {
			t.Error("the older replica was current")
		}
		near2.cut()
		<-done2
		<-farDone2
		if ready(a.catalog) != 3 {
			t.Errorf("ready = %d, want the older replica's advert once it is alone", ready(a.catalog))
		}
		cancel()
		<-done1
		<-far1
	})
}

// requests counts the requests for a snapshot among messages.
func requests(all []*catalogpb.Message) (n int) {
	for _, m := range all {
		if m.GetResync() != nil {
			n++
		}
	}
	return n
}

func TestOlderLinkOfAReplicaStandsBy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 1, []string{"b"})
		near, far := newPipe()
		done := serve(ctx, a, "b", "b1", near)
		old := &puppet{t, far}
		old.update(snapshotOf(1, 1, 1, echo))
		near2, far2 := newPipe()
		done2 := serve(ctx, a, "b", "b1", near2)
		p := &puppet{t, far2}
		p.update(snapshotOf(1, 3, 3, echo))
		old.update(snapshotOf(1, 2, 2, echo)) // late
		if got := ready(a.catalog); got != 3 {
			t.Errorf("ready = %d: updates on the newer link do not count, or those on the older do", got)
		}
		if n := requests(old.got()); n != 0 {
			t.Errorf("%d requests for snapshots on the link that stands by", n)
		}
		near2.cut()
		<-done2
		bubble.Pass(resyncInterval)
		if n := requests(old.got()); n != 1 {
			t.Errorf("%d requests for a snapshot on the link that is left, want 1", n)
		}
		if got := ready(a.catalog); got != 3 {
			t.Errorf("ready = %d before the snapshot", got)
		}
		old.update(snapshotOf(1, 4, 4, echo))
		if got := ready(a.catalog); got != 4 {
			t.Errorf("ready = %d: updates on the link that is left do not count", got)
		}
		cancel()
		must(t, <-done)
	})
}

// TestLinksInOppositeOrder is two replicas that dial each other at the same time: each has the other's link first. One of the
// links is a duplicate and ends a moment later. Whichever it is, the catalogs arrive, and changes of them after that.
func TestLinksInOppositeOrder(t *testing.T) {
	t.Parallel()
	for _, duplicate := range []int{0, 1} {
		t.Run(fmt.Sprintf("link %d ends", duplicate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				// Neither has read its own cluster when the links are made.
				a, b := newSide(t, "a", 1, []string{"b"}), newSide(t, "b", 1, []string{"a"})
				var near, far [2]*pipeConn
				var done [4]<-chan error
				for i := range near {
					near[i], far[i] = newPipe()
				}
				done[0] = serve(ctx, a, "b", "b1", near[0])
				synctest.Wait()
				done[1] = serve(ctx, b, "a", "a1", far[1])
				synctest.Wait()
				done[2], done[3] = serve(ctx, a, "b", "b1", near[1]), serve(ctx, b, "a", "a1", far[0])
				bubble.Pass(time.Second)
				near[duplicate].cut()
				bubble.Pass(resyncInterval)
				for _, s := range []*side{a, b} {
					l := s.catalog.local
					l.Services = l.Services.With(echo, newService(echo, 5))
					s.catalog.SetLocal(l)
				}
				bubble.Pass(resyncInterval)
				for name, s := range map[string]*side{"a": a, "b": b} {
					if svc := s.catalog.Snapshot().Services.Get(echo); svc == nil || len(svc.Peers) != 1 || svc.Peers[0].Readiness[0].Ready != 5 {
						t.Errorf("%s knows of its peer: %+v", name, svc)
					}
				}
				cancel()
				for _, d := range done {
					<-d
				}
			})
		})
	}
}

func TestLargeCatalogInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		names := make([]ServiceName, 5_000)
		for i := range names {
			names[i] = ServiceName{Namespace: "a-namespace-of-some-length", Name: fmt.Sprintf("service-%d", i)}
		}
		a, b := newSide(t, "a", 1, []string{"b"}, names...), newSide(t, "b", 1, []string{"a"})
		l := localWith([]string{"a"})
		l.Peers["a"].Spec.Quota = &v1alpha1.ImportQuota{Services: 5_000, Ports: 5_000}
		b.catalog.SetLocal(l)
		ca, cb := newPipe()
		doneA, doneB := serve(ctx, a, "b", "b1", ca), serve(ctx, b, "a", "a1", cb)
		synctest.Wait()
		if n := b.catalog.Snapshot().Services.Len(); n != len(names) {
			t.Errorf("%d services arrived", n)
		}
		if r := b.catalog.Snapshot().Revision; r != 3 {
			t.Errorf("revision %d: the parts did not take effect together", r)
		}
		cancel()
		<-doneA
		<-doneB
	})
}

func TestExchangeConfig(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]ExchangeConfig{"Cluster": {Catalog: NewCatalog(nil)}, "Catalog": {Cluster: "a"}} {
		if _, err := NewExchange(cfg); err == nil || !strings.Contains(err.Error(), "ExchangeConfig."+field) {
			t.Errorf("without %s: %v", field, err)
		}
	}
	x := newSide(t, "a", 1, []string{"b"}).exchange
	if err := x.Serve(t.Context(), "a", "a2", nil); err == nil {
		t.Error("exchange with itself")
	}
	if err := x.Serve(t.Context(), "b", strings.Repeat("x", maxReplicaName+1), nil); err == nil {
		t.Error("a replica with an endless name")
	}
}

// A Peer is deleted and made again (kubectl replace --force) before the tunnels notice, so the link stays. The catalog has dropped
// what the peer exports, and gets it back from that link, whether an update came in between or not.
func TestPeerMadeAgainIsHeardAgain(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(b *side){
		"nothing between":   func(*side) {},
		"an update between": func(b *side) { b.catalog.SetLocal(localWith([]string{"a"}, echo, ServiceName{"demo", "other"})) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				a := newSide(t, "a", 1, []string{"b"})
				b := newSide(t, "b", 1, []string{"a"}, echo)
				ca, cb := newPipe()
				doneA, doneB := serve(ctx, a, "b", "b1", ca), serve(ctx, b, "a", "a1", cb)
				bubble.Pass(coalesce)
				if ready(a.catalog) != 1 {
					t.Fatal("a does not know b's echo")
				}
				a.catalog.SetLocal(localWith(nil))
				between(b)
				bubble.Pass(2 * coalesce)
				a.catalog.SetLocal(localWith([]string{"b"}))
				bubble.Pass(3 * resyncInterval)
				if n := ready(a.catalog); n != 1 {
					t.Errorf("%d ready endpoints of echo, want 1; heard: %v", n, a.catalog.Heard("b"))
				}
				cancel()
				must(t, <-doneA)
				must(t, <-doneB)
			})
		})
	}
}
