package link

import (
	"slices"
	"testing"
	"time"
)

const (
	ms   = time.Millisecond
	size = 1250 // bytes: 10,000 bits
	// mbit10 sends one packet of that size each millisecond.
	mbit10 = 10_000_000
)

// deliveries runs a line to its end and returns when which packet was due; a
// packet's first byte is its name.
func (l *line) deliveries(t *testing.T) (at []time.Duration, names []byte) {
	t.Helper()
	for {
		next, some := l.next()
		if !some {
			return at, names
		}
		for packet := l.due(next); packet != nil; packet = l.due(next) {
			at, names = append(at, next), append(names, packet[0])
			l.counters.Delivered.add(len(packet))
		}
	}
}

func packet(name byte) []byte {
	p := make([]byte, size)
	p[0] = name
	return p
}

// about allows for packets that are delivered a little early.
func about(got, want time.Duration) bool { return got <= want && got >= want-coalesce }

func checkTimes(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.EqualFunc(got, want, about) {
		t.Errorf("delivered at %v, want %v (at most %v earlier)", got, want, coalesce)
	}
}

// checkSum proves that no packet is counted twice or not at all.
func checkSum(t *testing.T, c Counters) {
	t.Helper()
	var sum Count
	for _, part := range []Count{c.OnTheWay, c.Delivered, c.Lost, c.QueueDropped, c.Silenced, c.Undeliverable} {
		sum.Packets += part.Packets
		sum.Bytes += part.Bytes
	}
	if sum != c.Entered {
		t.Errorf("the counters' sum is %v, but %v entered: %+v", sum, c.Entered, c)
	}
}

func TestLineTimes(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings Settings
		enter    []time.Duration
		want     []time.Duration
	}{
		"nothing set": {Settings{}, []time.Duration{0, 3 * ms}, []time.Duration{0, 3 * ms}},
		"delay":       {Settings{Delay: 50 * ms}, []time.Duration{0, 0, 3 * ms}, []time.Duration{50 * ms, 50 * ms, 53 * ms}},
		"rate": {
			Settings{Rate: mbit10},
			[]time.Duration{0, 0, 1500 * time.Microsecond, 10 * ms},
			[]time.Duration{1 * ms, 2 * ms, 3 * ms, 11 * ms},
		},
		"rate and delay": {Settings{Rate: mbit10, Delay: 50 * ms}, []time.Duration{0, 0}, []time.Duration{51 * ms, 52 * ms}},
		"full queue": {
			Settings{Rate: mbit10, QueueTime: 2 * ms},
			[]time.Duration{0, 0, 0, 1 * ms, 1 * ms},
			[]time.Duration{1 * ms, 2 * ms, 3 * ms},
		},
		"a queue shorter than a packet": {
			Settings{Rate: mbit10, QueueBytes: 1},
			[]time.Duration{0, 0, 1 * ms},
			[]time.Duration{1 * ms, 2 * ms},
		},
		"silent": {Settings{Silent: true}, []time.Duration{0}, nil},
		"lost":   {Settings{Loss: 1}, []time.Duration{0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(test.settings, 1)
			var at []time.Duration
			for _, now := range test.enter {
				for p := l.due(now); p != nil; p = l.due(now) {
					at = append(at, now)
					l.counters.Delivered.add(len(p))
				}
				l.enter(now, packet(0))
			}
			rest, _ := l.deliveries(t)
			// Those delivered while later ones came in were looked at late.
			if len(at)+len(rest) != len(test.want) {
				t.Fatalf("delivered at %v and %v, want %v", at, rest, test.want)
			}
			checkTimes(t, rest, test.want[len(at):]...)
			checkSum(t, l.count())
		})
	}
}

func TestLineChanges(t *testing.T) {
	t.Parallel()
	begin := Settings{Rate: mbit10, Delay: 50 * ms}
	with := func(change func(*Settings)) Settings {
		s := begin
		change(&s)
		return s
	}
	for name, test := range map[string]struct {
		to   Settings // at 10.5 ms, when half of the second packet has left
		want []time.Duration
	}{
		"nothing":     {begin, []time.Duration{60 * ms, 61 * ms, 62 * ms}},
		"delay":       {with(func(s *Settings) { s.Delay = 20 * ms }), []time.Duration{30 * ms, 31 * ms, 32 * ms}},
		"rate halved": {with(func(s *Settings) { s.Rate /= 2 }), []time.Duration{60 * ms, 61500 * time.Microsecond, 63500 * time.Microsecond}},
		"no rate":     {with(func(s *Settings) { s.Rate = 0 }), []time.Duration{60 * ms, 60500 * time.Microsecond, 60500 * time.Microsecond}},
		"silent":      {with(func(s *Settings) { s.Silent = true }), nil},
		"short queue": {with(func(s *Settings) { s.QueueBytes = 1 }), []time.Duration{60 * ms, 61 * ms, 62 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(begin, 1)
			for i := range byte(3) {
				l.enter(9*ms, packet(i))
			}
			l.set(10500*time.Microsecond, test.to)
			at, names := l.deliveries(t)
			checkTimes(t, at, test.want...)
			if !slices.IsSorted(names) {
				t.Errorf("delivered in the order %v", names)
			}
			checkSum(t, l.count())
		})
	}
}

func TestLineIsSilentOneWay(t *testing.T) {
	t.Parallel()
	l := newLine(Settings{Delay: 10 * ms}, 1)
	l.enter(0, packet(0))
	l.set(5*ms, Settings{Delay: 10 * ms, Silent: true})
	l.enter(6*ms, packet(1))
	l.set(7*ms, Settings{Delay: 10 * ms})
	l.enter(8*ms, packet(2))
	if at, names := l.deliveries(t); string(names) != "\x02" {
		t.Errorf("delivered %v at %v, want only what entered after the silence", names, at)
	}
	if got := l.count().Silenced; got != (Count{2, 2 * size}) {
		t.Errorf("silenced: %v, want both packets", got)
	}
}

// The share of lost packets is as asked, and depends on nothing but the seed.
func TestLineLoss(t *testing.T) {
	t.Parallel()
	const packets, compared = 500_000, 20_000
	data := packet(0)
	for _, loss := range []float64{0.005, 0.1} {
		a, b := newLine(Settings{Loss: loss}, 7), newLine(Settings{Loss: loss, Delay: time.Second, Jitter: ms}, 7)
		for i := range packets {
			kept := a.enter(0, data)
			a.silence()
			if i < compared && b.enter(time.Duration(i)*time.Microsecond, data) != kept {
				t.Fatal("the same seed, and different packets are lost")
			}
		}
		got := float64(a.counters.Lost.Packets) / packets
		if got < loss*0.95 || got > loss*1.05 {
			t.Errorf("lost %v of the packets, want %v", got, loss)
		}
	}
	if a, b := newLine(Settings{}, 1), newLine(Settings{}, 2); a.chance.Uint64() == b.chance.Uint64() {
		t.Error("different seeds, and the same chance")
	}
}

func TestLineJitter(t *testing.T) {
	t.Parallel()
	const packets, delay, jitter = 200_000, 20 * ms, 5 * ms
	l := newLine(Settings{Delay: delay, Jitter: jitter}, 1)
	var least, most, sum, last time.Duration = time.Hour, 0, 0, 0
	for i := range packets {
		now := time.Duration(i) * 100 * time.Microsecond
		l.enter(now, packet(0))
		next, _ := l.next()
		p := l.due(next)
		if p == nil || next < last {
			t.Fatalf("packet %d is delivered at %v, the one before it at %v", i, next, last)
		}
		last = next
		way := next - now
		least, most, sum = min(least, way), max(most, way), sum+way
	}
	if least < delay-jitter-coalesce || most > delay+jitter {
		t.Errorf("delays from %v to %v, want %v ± %v", least, most, delay, jitter)
	}
	if least > delay-jitter*9/10 || most < delay+jitter*9/10 {
		t.Errorf("delays only from %v to %v, want nearly %v ± %v", least, most, delay, jitter)
	}
	if mean := sum / packets; mean < delay-jitter/20-coalesce || mean > delay+jitter/20 {
		t.Errorf("mean delay %v, want %v", mean, delay)
	}
}

func TestLineHoldsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	l := newLine(Settings{Delay: time.Minute}, 1)
	for range maxHeld + 1 {
		l.enter(0, packet(0))
	}
	c := l.count()
	if c.OnTheWay.Packets != maxHeld || c.QueueDropped.Packets != 1 {
		t.Errorf("holds %d packets and dropped %d, want %d and 1", c.OnTheWay.Packets, c.QueueDropped.Packets, maxHeld)
	}
	checkSum(t, c)
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	var q fifo[int]
	in, out := 0, 0
	for round := range 1000 {
		for range round % 7 {
			q.push(in)
			in++
		}
		for range min(round%5, q.len()) {
			if got := q.first(); got != out {
				t.Fatalf("first is %d, want %d", got, out)
			}
			if got := q.pop(); got != out {
				t.Fatalf("pop is %d, want %d", got, out)
			}
			out++
		}
		if q.len() != in-out || len(q.items) > 2*q.len()+1 {
			t.Fatalf("holds %d of %d items in %d places", q.len(), in-out, len(q.items))
		}
	}
}
