package balance

import (
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// Calls that choose the same endpoint at the same moment: as many get it as it can take, neither more nor fewer.
func TestTakeTogether(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(1, capacityOf(3), 0, nil), func(b *bench) {
		one := b.table.Candidates(b.key, Caller{Cluster: "here", Locality: here})[0]
		for range 5_000 {
			var uses [8]*Use
			var all sync.WaitGroup
			begin := make(chan struct{})
			for i := range uses {
				c := one
				all.Go(func() {
					<-begin
					uses[i] = c.Take()
				})
			}
			close(begin)
			all.Wait()
			took := 0
			for _, u := range uses {
				if u != nil {
					took++
					u.Done(Outcome{})
				}
			}
			if took != 3 {
				t.Fatalf("%d of 8 calls at a time", took)
			}
		}
		bubble.Pass(time.Second)
	})
}

// Proxies that lead one key to the same endpoint: none sends it more than its share.
func TestKeyOfSeveralProxies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each    uint32
		proxies int
		want    int // calls of this proxy at each endpoint
	}{
		"shares":           {12, 3, 4},
		"a part of a call": {10, 3, 4},
		"less than one":    {2, 5, 1},
		"one proxy":        {10, 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := roomy(30, capacityOf(c.each), 0, nil)
			s.Proxies = c.proxies
			inBubble(t, s, func(b *bench) {
				at := map[Address]int{}
				for range 3 * c.want {
					left, full := WithRoom(b.table.Candidates(b.key, Caller{Cluster: "here", Locality: here, Affinity: 7}), nil, nil)
					if full {
						t.Fatal("full")
					}
					if left[0].Take() == nil {
						t.Error("no room at the first candidate")
					}
					at[left[0].Address]++
				}
				for a, n := range at {
					if n != c.want {
						t.Errorf("%v has %d, want %d", a, n, c.want)
					}
				}
			})
		})
	}
}

// Five endpoints of one call and three proxies: rounded up, the parts leave no room unused.
func TestPartsAreTheWhole(t *testing.T) {
	t.Parallel()
	s := roomy(5, capacityOf(1), 0, nil)
	s.Proxies = 3
	inBubble(t, s, func(b *bench) {
		if at, _ := b.calls(9, Caller{Cluster: "here", Locality: here}); at["own"] != 2 {
			t.Errorf("%v", at)
		}
	})
}

// What goes further away because the nearest is ejected does so for no lack of room.
func TestEjectedIsNotSpilled(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*target){
		"full":             nil,
		"full and ejected": func(t *target) { t.state, t.until = Ejected, time.Now().Add(time.Hour) },
	} {
		s := roomy(2, capacityOf(2), 0, nil)
		s.Services.Get(echoName).Endpoints[servicePort][1].Locality = beside
		inBubble(t, s, func(b *bench) {
			caller, want := Caller{Cluster: "here", Locality: here}, uint64(1)
			near := b.table.Candidates(b.key, caller)[0]
			near.Begin()
			near.Begin()
			if change != nil {
				g := near.target.group
				g.mu.Lock()
				change(near.target)
				g.mu.Unlock()
				want = 0
			}
			first := b.table.Candidates(b.key, caller)[0]
			first.Begin().Done(Outcome{})
			if _, spilled := Capacities(b.table); first.Address == near.Address || spilled[b.key] != want {
				t.Errorf("%s: %v spilled to %v, want %d", name, spilled, first.Address, want)
			}
		})
	}
}

// An endpoint leaves the catalog and comes back while its calls go on: they count.
func TestCallsOfAnEndpointThatWasGone(t *testing.T) {
	t.Parallel()
	inBubble(t, roomy(1, capacityOf(2), 0, nil), func(b *bench) {
		caller := Caller{Cluster: "here", Locality: here}
		_, uses := b.calls(2, caller)
		b.table.Apply(roomy(0, capacityOf(2), 0, nil))
		b.table.Apply(roomy(0, capacityOf(2), 0, nil))
		b.table.Apply(roomy(1, capacityOf(2), 0, nil))
		if at, _ := b.calls(3, caller); at["own"] > 0 {
			t.Errorf("beside two calls: %v", at)
		}
		b.table.Apply(roomy(0, capacityOf(2), 0, nil))
		end(uses)
		b.table.Apply(roomy(0, capacityOf(2), 0, nil))
		g := b.table.group(b.key)
		if len(g.left) > 0 {
			t.Errorf("%d places are kept without calls", len(g.left))
		}
		b.table.Apply(roomy(1, capacityOf(2), 0, nil))
		if at, _ := b.calls(3, caller); at["own"] != 2 {
			t.Errorf("when they have ended: %v", at)
		}
	})
}
