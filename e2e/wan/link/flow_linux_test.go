package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/wan/netns"
)

const (
	// ipUDP is the length of an IPv4 and a UDP header.
	ipUDP = 20 + 8
	// socketBuffer holds what a test sends, until its goroutine is scheduled.
	socketBuffer = 64 << 20
)

// arrival is a packet that has been received.
type arrival struct {
	sequence uint32
	way      time.Duration // from the sender to the receiver
	at       time.Time
}

// flow sends numbered UDP packets in one direction of a link.
type flow struct {
	*live
	direction Direction
	tx        *net.UDPConn
	sent      uint32
	taken     uint64 // arrivals returned

	mu       sync.Mutex
	arrivals []arrival
}

// flow between the IPv4 addresses of the ends.
func (w *live) flow(d Direction) *flow {
	w.t.Helper()
	a, b := addresses()
	return w.flowTo(d, []netip.Addr{AtoB: b[0].Addr(), BtoA: a[0].Addr()}[d])
}

func (w *live) flowTo(d Direction, to netip.Addr) *flow {
	w.t.Helper()
	rx := w.socket(w.ns[1-d], func() (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 0)))
	})
	f := &flow{live: w, direction: d}
	f.tx = w.socket(w.ns[d], func() (*net.UDPConn, error) {
		return net.DialUDP("udp", nil, rx.LocalAddr().(*net.UDPAddr))
	})
	go f.receive(rx)
	return f
}

// socket inside a namespace, with large buffers, closed when the test ends.
func (w *live) socket(ns *netns.Namespace, open func() (*net.UDPConn, error)) *net.UDPConn {
	w.t.Helper()
	var conn *net.UDPConn
	err := ns.Do(func() (err error) {
		conn, err = open()
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for _, option := range []int{unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE} {
			if err := syscall.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, socketBuffer); err != nil {
				w.t.Error(err)
			}
		}
	})
	return conn
}

func (f *flow) receive(rx *net.UDPConn) {
	buffer := make([]byte, MaxMTU)
	for {
		n, err := rx.Read(buffer)
		if err != nil {
			return // closed
		}
		now := time.Now()
		if n < 12 {
			continue
		}
		sent := time.Duration(binary.BigEndian.Uint64(buffer[4:]))
		f.mu.Lock()
		f.arrivals = append(f.arrivals, arrival{binary.BigEndian.Uint32(buffer), now.Sub(epoch) - sent, now})
		f.mu.Unlock()
	}
}

// epoch is what packets tell their time against.
var epoch = time.Now()

// send one packet of so many bytes, IP header included.
func (f *flow) send(size int) {
	f.t.Helper()
	payload := make([]byte, size-ipUDP)
	binary.BigEndian.PutUint32(payload, f.sent)
	binary.BigEndian.PutUint64(payload[4:], uint64(time.Since(epoch)))
	if _, err := f.tx.Write(payload); err != nil {
		f.t.Fatal(err)
	}
	f.sent++
}

// pace sends bursts at intervals.
func (f *flow) pace(bursts, packets, size int, interval time.Duration) {
	f.t.Helper()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for range bursts {
		// A sender that is faster than the machine overruns the device's queue.
		f.until("packets to enter", func() bool {
			return uint64(f.sent)-f.Counters(f.direction).Entered.Packets < deviceQueue/2
		})
		for range packets {
			f.send(size)
		}
		<-ticker.C
	}
}

// arrived waits until nothing is on the way any more, and returns what has
// come since the last call.
func (f *flow) arrived() []arrival {
	f.t.Helper()
	f.until("all packets to have entered and left the line", func() bool {
		c := f.Counters(f.direction)
		return c.Entered.Packets == uint64(f.sent) && c.OnTheWay.Packets == 0
	})
	f.until("all delivered packets to be received", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return uint64(len(f.arrivals)) == f.Counters(f.direction).Delivered.Packets-f.taken
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	arrivals := f.arrivals
	f.arrivals = nil
	f.taken += uint64(len(arrivals))
	return arrivals
}

// ways are the times that packets took, shortest first.
func ways(t *testing.T, arrivals []arrival) []time.Duration {
	t.Helper()
	if len(arrivals) == 0 {
		t.Fatal("nothing arrived")
	}
	list := make([]time.Duration, len(arrivals))
	for i, a := range arrivals {
		list[i] = a.way
	}
	slices.Sort(list)
	return list
}

// median way of packets, in seconds.
func median(t *testing.T, arrivals []arrival) float64 {
	t.Helper()
	list := ways(t, arrivals)
	return list[len(list)/2].Seconds()
}
