package balance

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// server answers in the usual time, or refuses in a millisecond with that probability.
type server struct {
	refuses  float64
	active   int
	picks    int
	refusals refusals
}

// answer is one that is due.
type answer struct {
	at      time.Time
	from    *server
	refused bool
}

// due is a heap.
type due []answer

func (d due) Len() int           { return len(d) }
func (d due) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d due) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *due) Push(x any)        { *d = append(*d, x.(answer)) }
func (d *due) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// simulation is requests that come at random times, and the servers that they go to.
type simulation struct {
	servers []*server
	latency time.Duration
	rate    float64 // requests per second
	blind   bool    // to refusals
	rnd     *rand.Rand
	now     time.Time
	due     due
}

func (s *simulation) run(d time.Duration) {
	for _, one := range s.servers {
		one.picks = 0
	}
	end := s.now.Add(d)
	for s.now.Before(end) {
		s.now = s.now.Add(time.Duration(s.rnd.ExpFloat64() / s.rate * float64(time.Second)))
		for len(s.due) > 0 && !s.due[0].at.After(s.now) {
			a := heap.Pop(&s.due).(answer)
			a.from.active--
			a.from.refusals = a.from.refusals.with(a.refused, a.at)
		}
		s.send()
	}
}

func (s *simulation) send() {
	var candidates []Candidate
	for i, one := range s.servers {
		c := opt(fmt.Sprint(i), rank{})
		c.load = float64(one.active)
		if !s.blind {
			c.refusing = one.refusals.now(s.now)
		}
		candidates = append(candidates, c)
	}
	first := order(candidates, random{intN: s.rnd.IntN, float64: s.rnd.Float64})[0].Peer
	to := s.servers[first[0]-'0']
	to.active++
	to.picks++
	took, refused := time.Duration(s.rnd.ExpFloat64()*float64(s.latency)), s.rnd.Float64() < to.refuses
	if refused {
		took = time.Millisecond
	}
	heap.Push(&s.due, answer{at: s.now.Add(took), from: to, refused: refused})
}

// share is the part of the requests that the first server got.
func (s *simulation) share() float64 {
	all := 0
	for _, one := range s.servers {
		all += one.picks
	}
	return float64(s.servers[0].picks) / float64(all)
}

func newSimulation(latency time.Duration, rate float64, refuses ...float64) *simulation {
	s := &simulation{latency: latency, rate: rate, rnd: rand.New(rand.NewPCG(5, 6)), now: time.Unix(0, 0)}
	for _, r := range refuses {
		s.servers = append(s.servers, &server{refuses: r})
	}
	return s
}

// Of five endpoints the first refuses. A fair share is 0.2.
func TestRefusalsAttractNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sim         *simulation
		blind       float64 // what it gets at least when refusals do not count
		least, most float64
	}{
		"all, slow service":    {newSimulation(2*time.Second, 100, 1, 0, 0, 0, 0), 0.38, 0, 0.03},
		"all, usual service":   {newSimulation(50*time.Millisecond, 200, 1, 0, 0, 0, 0), 0.3, 0, 0.03},
		"all, fast service":    {newSimulation(5*time.Millisecond, 100, 1, 0, 0, 0, 0), 0.19, 0, 0.03},
		"one in ten":           {newSimulation(50*time.Millisecond, 200, 0.1, 0, 0, 0, 0), 0.19, 0.12, 0.2},
		"one in a hundred":     {newSimulation(50*time.Millisecond, 200, 0.01, 0, 0, 0, 0), 0.19, 0.17, 0.21},
		"all endpoints do":     {newSimulation(50*time.Millisecond, 200, 1, 1, 1, 1, 1), 0.19, 0.18, 0.22},
		"most do now and then": {newSimulation(50*time.Millisecond, 200, 0.2, 0.2, 0.2, 0.2, 0.2), 0.19, 0.17, 0.23},
	} {
		tt.sim.blind = true
		tt.sim.run(20 * time.Second)
		before := tt.sim.share()
		tt.sim.blind = false
		tt.sim.run(5 * time.Second)
		tt.sim.run(20 * time.Second)
		if got := tt.sim.share(); before < tt.blind || got < tt.least || got > tt.most {
			t.Errorf("%s: it gets %.3f of the requests, want %.2f to %.2f; %.3f by load alone, want %.2f",
				name, got, tt.least, tt.most, before, tt.blind)
		}
		tt.sim.servers[0].refuses = 0
		tt.sim.run(10 * time.Second)
		tt.sim.run(10 * time.Second)
		if got := tt.sim.share(); name[:4] == "all," && (got < 0.17 || got > 0.23) {
			t.Errorf("%s: when it serves again it gets %.3f of the requests", name, got)
		}
	}
}

// The rule holds for what a candidate's uses report, for endpoints and peers.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := benchService(1, nil, "a")
	s.Services.Get(echoName).Policy = everywhere("")
	inBubble(t, s, func(b *bench) {
		b.table.cfg.Peers = linked{}
		for _, k := range []Address{localKey(0), {Peer: "a"}} {
			for _, status := range []int{503, 429} {
				u := b.request(k)
				u.Took(status)
				u.Done(Outcome{})
				for range 100 {
					if first := b.table.Candidates(b.key, Caller{Cluster: "here", Locality: here, HTTP: true})[0]; first.Address == k {
						t.Fatalf("%v comes first after it refused", k)
					}
				}
				bubble.Pass(10 * time.Second)
				seen := false
				for range 100 {
					first := b.table.Candidates(b.key, Caller{Cluster: "here", Locality: here, HTTP: true})[0]
					seen = seen || first.Address == k
				}
				if !seen {
					t.Errorf("%v never comes first again", k)
				}
			}
			u := b.request(k)
			u.Took(500)
			u.Done(Outcome{})
			if _, _, h := b.get(k); h.refusing != 0 {
				t.Errorf("500 counts as a refusal: %v", h.refusing)
			}
		}
	})
}
