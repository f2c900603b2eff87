package link

import (
	"testing"
	"time"
)

// throughput measures what arrives of a flood, in bits of IP packets per second.
func (f *flow) throughput(offered, size int, length time.Duration) float64 {
	f.t.Helper()
	const interval = 2 * time.Millisecond
	burst := int(float64(offered)*interval.Seconds()/8/float64(size)) + 1
	f.pace(int(length/interval), burst, size, interval)
	arrivals := f.arrived()
	if len(arrivals) < 2 {
		f.t.Fatalf("%d packets arrived", len(arrivals))
	}
	first, last := arrivals[0], arrivals[len(arrivals)-1]
	return float64((len(arrivals)-1)*size*8) / last.at.Sub(first.at).Seconds()
}

func TestRate(t *testing.T) {
	w := start(t, Settings{}, Settings{})
	for d, test := range []struct {
		rate   int
		length time.Duration
	}{AtoB: {5e6, 600 * time.Millisecond}, BtoA: {100e6, 400 * time.Millisecond}} {
		direction := Direction(d)
		f := w.flow(direction)
		for _, rate := range []int{test.rate, test.rate * 2} { // changed while it runs
			w.change(direction, Settings{Delay: 5 * time.Millisecond, Rate: int64(rate)})
			within(t, "throughput in bit/s", float64(rate), 0.05, func() float64 {
				return f.throughput(rate+rate/2, DefaultMTU, test.length)
			})
		}
		w.checkCounters(direction)
		if c := w.Counters(direction); c.QueueDropped.Packets == 0 {
			t.Errorf("%v: more was offered than fits, and nothing dropped: %+v", direction, c)
		}
	}
}

// A full queue is as long as asked: in bytes, and so in time.
func TestQueueLimit(t *testing.T) {
	const (
		rate    = 10_000_000
		size    = 1250
		packets = 200
		delay   = 5 * time.Millisecond
	)
	w := start(t, Settings{}, Settings{})
	f := w.flow(AtoB)
	for name, s := range map[string]Settings{
		"time":  {QueueTime: 40 * time.Millisecond},
		"bytes": {QueueBytes: 50_000},
	} {
		s.Delay, s.Rate = delay, rate
		w.change(AtoB, s)
		// The last packet that finds room waits for all before it.
		within(t, "longest way with a queue limited in "+name+", in s", (40*time.Millisecond + delay).Seconds(), 0.05, func() float64 {
			before := w.Counters(AtoB)
			f.pace(1, packets, size, time.Millisecond)
			arrivals := f.arrived()
			dropped := int(w.Counters(AtoB).QueueDropped.Packets - before.QueueDropped.Packets)
			if len(arrivals)+dropped != packets || dropped == 0 {
				t.Errorf("%d of %d packets arrived, %d were dropped", len(arrivals), packets, dropped)
			}
			if len(arrivals) < 40 {
				t.Errorf("%d packets arrived, 40 fit into the queue", len(arrivals))
			}
			list := ways(t, arrivals)
			return list[len(list)-1].Seconds()
		})
	}
	w.checkCounters(AtoB)
}

// checkCounters compares what the counters say with each other.
func (w *live) checkCounters(d Direction) {
	w.t.Helper()
	checkSum(w.t, w.Counters(d))
	if missed, err := w.Missed(d); err != nil || missed != 0 {
		w.t.Errorf("%v: the kernel dropped %d packets before they entered (%v)", d, missed, err)
	}
}
