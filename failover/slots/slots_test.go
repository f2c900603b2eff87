package slots

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/balance"
)

var shop = balance.Key{Service: discovery.ServiceName{Namespace: "default", Name: "shop"}, Port: 80}

// generations of the TLS that is added.
var generations = []*discovery.TLS{{Host: "shop.test"}, {Host: "shop.test", Names: []string{"other.test"}}}

// at is the address of endpoint n.
func at(n int) balance.Address {
	return balance.Address{Endpoint: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), 80)}
}

func (w *Waiter) isReady() bool {
	select {
	case <-w.Ready():
		return true
	default:
		return false
	}
}

// TestTake: connections that do not wait have no extra slots.
func TestTake(t *testing.T) {
	t.Parallel()
	var tb Table
	a, b := tb.Take(shop, 2), tb.Take(shop, 2)
	if a == nil || b == nil || tb.Take(shop, 2) != nil {
		t.Fatal("two connections of two")
	}
	b.Move(at(1))
	a.Close()
	a.Close()
	if tb.Take(shop, 1) != nil {
		t.Error("closed twice, counted twice")
	}
	other := shop
	other.Port = 81
	if s := tb.Take(other, 1); s == nil {
		t.Error("another port has slots of its own")
	} else {
		s.Close()
	}
	for range 3 {
		if tb.Take(shop, 0) == nil {
			t.Error("there is no limit")
		}
	}
	b.Close()
}

// TestExtra: an endpoint without a connection gets one beyond the limit, and only one.
func TestExtra(t *testing.T) {
	t.Parallel()
	var tb Table
	first := tb.Open(shop, 1, at(1))
	second := tb.Open(shop, 1, at(2))
	if first == nil || first.Bound() || second == nil || !second.Bound() {
		t.Fatal("one ordinary slot, and the extra one of the other endpoint")
	}
	if tb.Open(shop, 1, at(1)) != nil || tb.Open(shop, 1, at(2)) != nil {
		t.Error("a second connection beyond the limit")
	}
	first.Move(at(3))
	third := tb.Open(shop, 1, at(1))
	if third == nil || !third.Bound() {
		t.Error("the endpoint has no connection any more")
	}
	for _, s := range []*Slot{first, second, third} {
		s.Close()
	}
	if len(tb.ports) > 0 {
		t.Errorf("remembered: %v", tb.ports)
	}
}

// TestQueue has each event that ends a wait.
func TestQueue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event func(tb *Table, held *Slot, queue []*Waiter)
		ready []int
		slot  bool // what they got
	}{
		"none":                  {func(*Table, *Slot, []*Waiter) {}, nil, false},
		"a slot is free":        {func(_ *Table, held *Slot, _ []*Waiter) { held.Close() }, []int{0}, true},
		"the oldest has left":   {func(_ *Table, held *Slot, q []*Waiter) { q[0].Quit(); held.Close() }, []int{1}, true},
		"the limit is higher":   {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Open(shop, 3, at(1)) }, []int{0, 1}, true},
		"no limit any more":     {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Open(shop, 0, at(1)) }, []int{0, 1, 2, 3}, true},
		"a connection for all":  {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Next(shop, at(1), Kind{}).Give() }, []int{0}, false},
		"a connection for some": {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Next(shop, at(2), Kind{}).Give() }, []int{1}, false},
		"of another protocol":   {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Next(shop, at(1), Kind{H2: true}).Give() }, []int{2}, false},
		"with TLS":              {func(tb *Table, _ *Slot, _ []*Waiter) { tb.Next(shop, at(1), Kind{TLS: generations[0]}).Give() }, []int{3}, false},
		"with TLS that is equal": {func(tb *Table, _ *Slot, _ []*Waiter) {
			equal := *generations[0]
			tb.Next(shop, at(1), Kind{TLS: &equal}).Give()
		}, []int{3}, false},
		"with another TLS": {func(tb *Table, _ *Slot, _ []*Waiter) {
			if tb.Next(shop, at(1), Kind{TLS: generations[1]}) != nil {
				t.Error("a request got another TLS than its own")
			}
		}, nil, false},
		"the last of its endpoint": {func(_ *Table, held *Slot, _ []*Waiter) { held.Move(at(9)) }, []int{0}, true},
	} {
		var tb Table
		tb.Begin(shop, 9)
		held := tb.Open(shop, 1, at(1))
		queue := []*Waiter{
			tb.Wait(shop, []balance.Address{at(1)}, Kind{}),
			tb.Wait(shop, []balance.Address{at(1), at(2)}, Kind{}),
			tb.Wait(shop, []balance.Address{at(1)}, Kind{H2: true}),
			tb.Wait(shop, []balance.Address{at(1)}, Kind{TLS: generations[0]}),
		}
		c.event(&tb, held, queue)
		var ready []int
		for i, w := range queue {
			if !w.isReady() {
				continue
			}
			ready = append(ready, i)
			if (w.Slot() != nil) != c.slot {
				t.Errorf("%s: %d has a slot: %v", name, i, w.Slot() != nil)
			}
		}
		if !slices.Equal(ready, c.ready) {
			t.Errorf("%s: %v are ready, want %v", name, ready, c.ready)
		}
	}
	var tb Table
	if w := tb.Wait(shop, []balance.Address{at(1)}, Kind{}); !w.isReady() || w.Quit() {
		t.Error("a free slot is not waited for")
	}
}

// TestNudge: the oldest request of HTTP/2 looks, once for any number of events.
func TestNudge(t *testing.T) {
	t.Parallel()
	var tb Table
	held := tb.Open(shop, 1, at(1))
	defer held.Close()
	held.Nudge()
	queue := []*Waiter{tb.Wait(shop, []balance.Address{at(1)}, Kind{}), tb.Wait(shop, []balance.Address{at(1)}, Kind{H2: true})}
	held.Nudge()
	held.Nudge()
	if len(queue[0].Look()) != 0 || len(queue[1].Look()) != 1 {
		t.Error("not the one of HTTP/2")
	}
	for _, w := range queue {
		w.Quit()
	}
}

// TestPending: requests without a connection are counted, whether they wait or connect.
func TestPending(t *testing.T) {
	t.Parallel()
	var tb Table
	for i := range 3 {
		if ok := tb.Begin(shop, 2); ok != (i < 2) {
			t.Errorf("request %d: %v", i, ok)
		}
	}
	tb.End(shop)
	if !tb.Begin(shop, 2) {
		t.Error("not again")
	}
	tb.End(shop)
	tb.End(shop)
	if len(tb.ports) > 0 {
		t.Errorf("remembered: %v", tb.ports)
	}
}

// world is a Table with the connections and requests of a random test.
type world struct {
	t     *testing.T
	rnd   *rand.Rand
	tb    Table
	limit int
	open  []*Slot
	queue []*Waiter // in the order of arrival
	// ordinary is how many ordinary slots there were before the step.
	ordinary int
	step     string
}

// TestRandom compares thousands of random events with the rules: no more ordinary slots than the limit, one extra slot for an endpoint, no
// request waits while there is a slot for it, and none overtakes another one that wants the same.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), limit: 3}
		for n := range 1000 {
			w.step = fmt.Sprintf("seed %d, step %d", seed, n)
			w.event()
			w.check()
		}
		for _, one := range w.queue {
			one.Quit()
		}
		for _, s := range w.open {
			s.Close()
		}
		if len(w.tb.ports) > 0 {
			t.Fatalf("%s: remembered: %v", w.step, w.tb.ports)
		}
	}
}

func (w *world) event() {
	a := at(w.rnd.IntN(4))
	switch w.rnd.IntN(9) {
	case 0, 1, 2: // a request
		if s := w.tb.Open(shop, w.limit, a); s != nil {
			w.open = append(w.open, s)
			return
		}
		wants := []balance.Address{a, at(w.rnd.IntN(4))}[:1+w.rnd.IntN(2)]
		w.queue = append(w.queue, w.tb.Wait(shop, wants, w.kind()))
	case 3, 4, 5: // a connection ends
		if n := len(w.open); n > 0 {
			i := w.rnd.IntN(n)
			s := w.open[i]
			w.open = slices.Delete(w.open, i, i+1)
			s.Close()
		}
	case 6: // a connection is put back
		if n := len(w.open); n > 0 {
			w.handOver(w.open[w.rnd.IntN(n)].at)
		}
	case 7: // a request ends
		if n := len(w.queue); n > 0 {
			i := w.rnd.IntN(n)
			if !w.queue[i].Quit() {
				w.t.Fatalf("%s: it was ready", w.step)
			}
			w.queue = slices.Delete(w.queue, i, i+1)
		}
	default: // a connection goes elsewhere, or the limit changes
		if i := slices.IndexFunc(w.open, func(s *Slot) bool { return !s.Bound() }); i >= 0 && w.rnd.IntN(2) == 0 {
			w.open[i].Move(a)
		} else if w.rnd.IntN(8) == 0 {
			w.limit = 1 + w.rnd.IntN(5)
		}
	}
}

// kinds of connections: one in four is rare.
func (w *world) kind() Kind {
	return []Kind{{}, {}, {H2: true}, {TLS: generations[w.rnd.IntN(2)]}}[w.rnd.IntN(4)]
}

func (w *world) handOver(a balance.Address) {
	kind := w.kind()
	got := w.tb.Next(shop, a, kind)
	i := slices.IndexFunc(w.queue, func(o *Waiter) bool { return kind.serves(o.kind) && slices.Contains(o.wants, a) })
	if (got == nil) != (i < 0) || i >= 0 && w.queue[i] != got {
		w.t.Fatalf("%s: not the oldest", w.step)
	}
	if got != nil {
		w.queue = slices.Delete(w.queue, i, i+1)
		got.Give()
	}
}

// check takes in what requests got, and compares.
func (w *world) check() {
	older := make(map[balance.Address]bool) // wanted by requests that wait
	w.queue = slices.DeleteFunc(w.queue, func(one *Waiter) bool {
		if !one.isReady() {
			older[one.wants[0]] = true
			return false
		}
		if older[one.wants[0]] || !one.Slot().Bound() && len(older) > 0 {
			w.t.Fatalf("%s: overtaken", w.step)
		}
		w.open = append(w.open, one.Slot())
		return true
	})
	ordinary, extras, conns := 0, make(map[balance.Address]int), make(map[balance.Address]int)
	for _, s := range w.open {
		conns[s.at]++
		if s.Bound() {
			extras[s.at]++
		} else {
			ordinary++
		}
	}
	p := w.tb.ports[shop]
	if p == nil {
		w.ordinary = 0
		return
	}
	if p.total != len(w.open) || len(p.queue) != len(w.queue) {
		w.t.Fatalf("%s: %d connections, %d wait; want %d, %d", w.step, p.total, len(p.queue), len(w.open), len(w.queue))
	}
	for a, n := range extras {
		if n > 1 {
			w.t.Fatalf("%s: %d extra slots at %v", w.step, n, a)
		}
	}
	for _, one := range w.queue {
		if p.total < p.limit || conns[one.wants[0]] == 0 {
			w.t.Fatalf("%s: waits while there is a slot", w.step)
		}
	}
	if ordinary > p.limit && ordinary > w.ordinary { // the limit may have been lowered
		w.t.Fatalf("%s: %d ordinary slots of %d", w.step, ordinary, p.limit)
	}
	w.ordinary = ordinary
}
