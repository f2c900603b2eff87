package discovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/discovery/catalogpb"
	"github.com/eastway/eastway/internal/bubble"
)

// truth is what the adverts of a peer take, counted anew.
func truth(p *peerAdverts) (bytes int) {
	seen := map[*PeerExport]bool{}
	for _, a := range p.replicas {
		for n, e := range a.exports.All() {
			if !seen[e] {
				seen[e] = true
				bytes += exportCost(n, e)
			}
		}
	}
	return bytes
}

// However replicas come, change, start over and go, the memory of a peer is what its adverts take, each export once; and what an
// update would make of it is known before.
func TestHoldings(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := NewCatalog(nil)
		c.SetLocal(localWith([]string{"b"}))
		revisions := map[string]uint64{}
		some := func() (names []ServiceName) {
			for i := range 6 {
				if random.IntN(2) == 0 {
					names = append(names, ServiceName{"demo", strings.Repeat("s", i+1)})
				}
			}
			return names
		}
		for step := range 200 {
			replica := fmt.Sprintf("b%d", random.IntN(4))
			base, epoch := revisions[replica], uint64(1+random.IntN(3))
			var u Update
			switch ready := uint32(random.IntN(3)); random.IntN(5) {
			case 0:
				c.ForgetReplica(ReplicaID{"b", replica})
				delete(revisions, replica)
			case 1:
				u = updateOf(epoch, 0, base+1, ready, some()...)
			default:
				if p := c.peers["b"]; p != nil && p.replicas[replica] != nil {
					epoch = p.replicas[replica].epoch
				}
				u = updateOf(epoch, base, base+1, ready, some()...)
				if base > 0 {
					for _, n := range some() {
						if _, exported := u.Exports[n]; !exported {
							u.Withdrawn = append(u.Withdrawn, n)
						}
					}
				}
			}
			if u.Revision > 0 && c.UpdateRemote(ReplicaID{"b", replica}, u) == nil {
				revisions[replica] = u.Revision
			}
			p := c.peers["b"]
			if p == nil {
				continue
			}
			if got, want := p.holdings.bytes, truth(p); got != want {
				t.Fatalf("seed %d, step %d: %d bytes are counted, the adverts take %d", seed, step, got, want)
			}
			for _, a := range p.replicas {
				next := updateOf(a.epoch, 0, a.revision+1, uint32(random.IntN(3)), some()...)
				staged, _, err := p.stage("b", a, &next)
				must(t, err)
				foreseen := p.holdings.with(a, staged, true)
				must(t, c.UpdateRemote(ReplicaID{"b", a.replica}, next))
				revisions[a.replica] = next.Revision
				if p.replicas[a.replica] == a && foreseen != p.holdings.bytes && len(p.replicas) == 1 {
					t.Fatalf("seed %d, step %d: %d bytes were foreseen, %d came", seed, step, foreseen, p.holdings.bytes)
				}
				break
			}
		}
	}
}

// big is a snapshot that takes most of what one replica may, and differs from those with another tag.
func big(epoch uint64, tag string) Update {
	u := Update{Epoch: epoch, Revision: 1, Exports: map[ServiceName]Metadata{}, Readiness: map[ServiceName]Endpoints{}}
	text := tag + strings.Repeat("x", maxLabelBytes-len(tag)-len("k")) // one string in all of them
	for used, i := 0, 0; used < maxAdvertBytes*3/4; i++ {
		n := ServiceName{"demo", fmt.Sprint("s", i)}
		u.Exports[n] = Metadata{Export: Export{Labels: map[string]string{"k": text}}}
		used += exportCost(n, &PeerExport{Export: u.Exports[n].Export})
	}
	return u
}

// The replicas of a peer cannot each take what one may: the third that differs in everything is refused, and one of another peer is
// not. What they have alike counts once.
func TestReplicasHaveOneBudget(t *testing.T) {
	t.Parallel()
	c := NewCatalog(nil)
	c.SetLocal(localWith([]string{"b", "c"}))
	for i, tag := range []string{"old", "new", "new", "new"} {
		must(t, c.UpdateRemote(ReplicaID{"b", fmt.Sprint("b", i)}, big(uint64(1+i), tag)))
	}
	var bad *InvalidError
	if err := c.UpdateRemote(ReplicaID{"b", "b9"}, big(9, "other")); !errors.As(err, &bad) || !strings.Contains(bad.Reason, "all replicas") {
		t.Errorf("a third of another form: %v", err)
	}
	if c.peers["b"].current.replica != "b3" {
		t.Errorf("%s is in use", c.peers["b"].current.replica)
	}
	must(t, c.UpdateRemote(ReplicaID{"c", "c1"}, big(1, "c")))
	c.ForgetReplica(ReplicaID{"b", "b0"})
	must(t, c.UpdateRemote(ReplicaID{"b", "b9"}, big(9, "other")))
}

// unfinished sends the parts of a snapshot that takes half of what one replica may, without the last.
func unfinished(p *puppet, epoch uint64) {
	value := strings.Repeat("x", maxAnnotationBytes-len("k"))
	for part, used := uint32(0), 0; used < maxAdvertBytes/2; part++ {
		u := &catalogpb.Update{Cluster: "b", Epoch: epoch, Revision: 1, Part: part}
		for i := range 12 {
			u.Exports = append(u.Exports, &catalogpb.Export{
				Service: &catalogpb.Service{Namespace: "demo", Name: fmt.Sprintf("s%d-%d", part, i)}, Annotations: map[string]string{"k": value},
			})
			used += maxAnnotationBytes
		}
		p.update(u)
	}
}

// Updates that never end, of many replicas, take no more than those of two; others of the peer go on when the links have ended.
func TestUnfinishedUpdatesHaveOneBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 1, []string{"b"})
		var conns []*pipeConn
		var ends []<-chan error
		for i := range 4 {
			near, far := newPipe()
			conns = append(conns, far)
			ends = append(ends, serve(ctx, a, "b", fmt.Sprint("b", i), near))
			unfinished(&puppet{t, far}, uint64(1+i))
			bubble.Pass(time.Minute)
		}
		near, far := newPipe()
		refused := serve(ctx, a, "b", "b9", near)
		unfinished(&puppet{t, far}, 9)
		bubble.Pass(time.Minute)
		var bad *InvalidError
		select {
		case err := <-refused:
			if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "other replicas") {
				t.Errorf("the link ended with %v", err)
			}
		default:
			t.Error("a fifth half-finished snapshot is held")
		}
		for i, conn := range conns {
			conn.cut()
			if err := <-ends[i]; err == nil {
				t.Error("the link did not end")
			}
		}
		near, far = newPipe()
		done := serve(ctx, a, "b", "b5", near)
		unfinished(&puppet{t, far}, 1)
		bubble.Pass(time.Minute)
		if s := a.exchange.shares["b"]; s == nil || s.links != 1 || s.staged < maxAdvertBytes/2 || s.staged > maxAdvertBytes {
			t.Errorf("the share of the one link that is left is %+v", s)
		}
		cancel()
		must(t, <-done)
		if n := len(a.exchange.shares); n != 0 {
			t.Errorf("%d shares are left", n)
		}
	})
}

// All replicas of a peer but the one whose advert is in use have one rate together, so that 64 of them cost no more than two; they
// do not hold up that one.
func TestReplicasHaveOneRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newSide(t, "a", 1, []string{"b"})
		const replicas, seconds = 8, 10
		ends := make([]<-chan error, 0, replicas)
		began := time.Now()
		for i := range replicas {
			near, far := newPipe()
			ends = append(ends, serve(ctx, a, "b", fmt.Sprint("b", i), near))
			go func() {
				for revision := uint64(1); ; revision++ {
					u := snapshotOf(uint64(1+i), revision, uint32(1+revision%5), echo)
					u.Base = revision - 1
					if u.Base > 0 {
						u.Exports = nil
					}
					b, err := marshal(&catalogpb.Message{Message: &catalogpb.Message_Update{Update: u}})
					if err != nil || far.Send(ctx, b) != nil {
						return
					}
				}
			}()
			go func() {
				for {
					if _, err := far.Receive(ctx); err != nil {
						return
					}
				}
			}()
		}
		bubble.Pass(seconds * time.Second)
		first, others := uint64(0), uint64(0)
		a.catalog.mu.Lock()
		for name, r := range a.catalog.peers["b"].replicas {
			if name == fmt.Sprint("b", replicas-1) {
				first = r.revision
			} else {
				others += r.revision
			}
		}
		a.catalog.mu.Unlock()
		passed := time.Since(began).Seconds()
		if most := 2*applyBurst + applyRate*passed + replicas; float64(others) > most { // each was in use for a moment
			t.Errorf("%d updates of the others are applied in %v s, want at most %v", others, passed, most)
		}
		if least := applyRate * (passed - 2); float64(first) < least {
			t.Errorf("%d updates of the one in use are applied in %v s, want at least %v", first, passed, least)
		}
		cancel()
		for _, end := range ends {
			must(t, <-end)
		}
		synctest.Wait()
	})
}
