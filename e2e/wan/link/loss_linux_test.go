package link

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// lossy sends many packets through a line that loses some, and returns which arrived.
func lossy(t *testing.T, d Direction, loss float64) []uint32 {
	t.Helper()
	const bursts, burst = 100, 200
	s := [2]Settings{}
	s[d].Loss = loss
	w := start(t, s[AtoB], s[BtoA])
	f := w.flow(d)
	f.pace(bursts, burst, 64, time.Millisecond)
	arrivals := f.arrived()
	sequences := make([]uint32, len(arrivals))
	for i, a := range arrivals {
		sequences[i] = a.sequence
	}
	w.checkCounters(d)
	c := w.Counters(d)
	if c.Lost.Packets+uint64(len(arrivals)) != bursts*burst || c.Lost.Bytes != c.Lost.Packets*64 {
		t.Errorf("%d of %d packets arrived, and the counters say %+v", len(arrivals), bursts*burst, c)
	}
	if got := float64(c.Lost.Packets) / (bursts * burst); got < loss*0.95 || got > loss*1.05 {
		t.Errorf("lost %v of the packets, want %v", got, loss)
	}
	if !slices.IsSorted(sequences) {
		t.Error("packets overtook each other")
	}
	return sequences
}

func TestLoss(t *testing.T) {
	const loss = 0.1
	var first, again, other []uint32
	t.Run("first", func(t *testing.T) { first = lossy(t, AtoB, loss) })
	t.Run("again", func(t *testing.T) { again = lossy(t, AtoB, loss) })
	t.Run("other", func(t *testing.T) { other = lossy(t, BtoA, loss) })
	if !slices.Equal(first, again) {
		t.Error("two links with the same seed lost different packets")
	}
	if slices.Equal(first, other) {
		t.Error("both directions lost the same packets")
	}
}

func TestSilence(t *testing.T) {
	s := Settings{Delay: 20 * time.Millisecond}
	w := start(t, s, s)
	flows := [2]*flow{w.flow(AtoB), w.flow(BtoA)}
	for _, silent := range []Direction{AtoB, BtoA} {
		w.change(silent, Settings{Delay: MaxDelay})
		flows[silent].send(100)
		w.until("the packet to be on the way", func() bool { return w.Counters(silent).OnTheWay.Packets == 1 })
		w.change(silent, Settings{Delay: s.Delay, Silent: true})
		flows[silent].pace(5, 1, 100, time.Millisecond)
		flows[1-silent].pace(5, 1, 100, time.Millisecond)
		if got := len(flows[silent].arrived()); got != 0 {
			t.Errorf("%v is silent, and %d packets arrived", silent, got)
		}
		if got := len(flows[1-silent].arrived()); got != 5 {
			t.Errorf("%v is silent, and %d of 5 packets arrived the other way", silent, got)
		}
		if got := w.Counters(silent).Silenced; got != (Count{6, 600}) {
			t.Errorf("%v: silenced %v, want 6 packets", silent, got)
		}
		w.change(silent, s)
		flows[silent].send(100)
		if got := len(flows[silent].arrived()); got != 1 {
			t.Errorf("%v is silent no more, and %d of 1 packets arrived", silent, got)
		}
		w.checkCounters(silent)
	}
	if got := w.Settings(AtoB); got != s {
		t.Errorf("settings are %+v, want %+v", got, s)
	}
	if err := w.Set(AtoB, Settings{Delay: -1}); err == nil || w.Settings(AtoB) != s {
		t.Errorf("wrong settings: error %v, and they are now %+v", err, w.Settings(AtoB))
	}
}

// Packets for a device that is down are counted, and do not end the link; a
// device that is gone does.
func TestDeviceTroubles(t *testing.T) {
	needRoot(t)
	w := &live{t: t}
	w.ns[0], w.ns[1] = newNamespace(t, "a"), newNamespace(t, "b")
	c := Config{A: End{Namespace: w.ns[0].Name()}, B: End{Namespace: w.ns[1].Name()}}
	c.A.Addresses, c.B.Addresses = addresses()
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.Link = l
	if _, err := Open(c); err == nil {
		t.Error("two devices of one name")
	}
	ended := make(chan error, 1)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	go func() { ended <- l.Run(ctx) }()

	f := w.flow(AtoB)
	w.onDevice(1, netlink.LinkSetDown)
	f.send(100)
	w.until("the packet to be refused", func() bool { return l.Counters(AtoB).Undeliverable == Count{1, 100} })
	checkSum(t, l.Counters(AtoB))
	w.onDevice(1, netlink.LinkDel)
	if err := <-ended; err == nil {
		t.Error("Run returned no error although a device was removed")
	}
}

// onDevice calls f with the device of one end.
func (w *live) onDevice(end int, f func(netlink.Link) error) {
	w.t.Helper()
	err := w.ns[end].Do(func() error {
		dev, err := netlink.LinkByName(DefaultDevice)
		if err != nil {
			return err
		}
		return f(dev)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
