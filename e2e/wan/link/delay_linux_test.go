package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// rtt measures the shortest round-trip time of UDP echoes, in seconds: a busy machine only ever adds.
func (w *live) rtt() float64 {
	w.t.Helper()
	const pings, interval = 30, 3 * time.Millisecond
	_, b := addresses()
	server := w.socket(w.ns[1], func() (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(b[0].Addr(), 0)))
	})
	defer server.Close()
	go func() {
		packet := make([]byte, DefaultMTU)
		for {
			n, from, err := server.ReadFromUDPAddrPort(packet)
			if err != nil {
				return // closed
			}
			server.WriteToUDPAddrPort(packet[:n], from)
		}
	}()
	client := w.socket(w.ns[0], func() (*net.UDPConn, error) { return net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr)) })
	defer client.Close()
	go func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for range pings {
			ping := binary.BigEndian.AppendUint64(nil, uint64(time.Since(epoch)))
			if _, err := client.Write(ping); err != nil {
				return // closed
			}
			<-ticker.C
		}
	}()
	times := make([]time.Duration, 0, pings)
	pong := make([]byte, DefaultMTU)
	client.SetReadDeadline(time.Now().Add(patience))
	for range pings {
		if _, err := client.Read(pong); err != nil {
			w.t.Fatal(err)
		}
		times = append(times, time.Since(epoch)-time.Duration(binary.BigEndian.Uint64(pong)))
	}
	slices.Sort(times)
	return times[0].Seconds()
}

func TestRTT(t *testing.T) {
	w := start(t, Settings{}, Settings{})
	for _, want := range []time.Duration{10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond} {
		// Unequal halves, changed while it runs.
		w.change(AtoB, Settings{Delay: want / 4})
		w.change(BtoA, Settings{Delay: want - want/4})
		within(t, "RTT in s", want.Seconds(), 0.05, w.rtt)
	}
}

func TestJitter(t *testing.T) {
	const delay, jitter = 20 * time.Millisecond, 5 * time.Millisecond
	w := start(t, Settings{Delay: delay, Jitter: jitter}, Settings{})
	f := w.flow(AtoB)
	// New random delays in each try.
	within(t, "share of packets between the bounds", 1, 0.05, func() float64 {
		f.pace(120, 1, 100, time.Millisecond)
		list := ways(t, f.arrived())
		if list[0] < delay-jitter-coalesce {
			t.Errorf("a packet took %v, less than %v - %v", list[0], delay, jitter)
		}
		if spread := list[len(list)*95/100] - list[len(list)*5/100]; spread < jitter/2 {
			t.Errorf("nine of ten packets took equally long to within %v, although the jitter is %v", spread, jitter)
		}
		inside := 0
		for _, way := range list {
			if way <= delay+jitter+coalesce*2 {
				inside++
			}
		}
		return float64(inside) / float64(len(list))
	})
}

// IPv6 passes as IPv4 does.
func TestIPv6(t *testing.T) {
	w := start(t, Settings{Delay: 10 * time.Millisecond}, Settings{})
	_, b := addresses()
	f := w.flowTo(AtoB, b[1].Addr())
	within(t, "delay in s", 0.010, 0.05, func() float64 {
		f.pace(15, 1, 200, time.Millisecond)
		return median(t, f.arrived())
	})
}
