package transport

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// segmentSize is what a connection sends at most in one packet, in bytes.
func segmentSize(c *net.TCPConn) int {
	size := 0
	withFD(c, func(fd int) { size, _ = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	return size
}

// TestSmallSegments: both sides of a TCP session send segments that fit into any path, though the loopback device has room for 64 KiB.
func TestSmallSegments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ln := w.listen(t, NewTCP(TCPConfig{}))
	dialed := w.dial(t, NewTCP(TCPConfig{}), ln.Addr().String())
	accepted := <-ln.sessions
	defer accepted.Close("over")
	for side, s := range map[string]Session{"dialed": dialed, "accepted": accepted} {
		if mss := segmentSize(s.(*tcpSession).pulse.tcp); mss > tcpSegment || mss < tcpSegment/2 {
			t.Errorf("the %s side sends segments of %d bytes", side, mss)
		}
	}
}

// TestFirstPacketsOfQUICAreSmall: they fit into any path. e2e/paths looks at all others.
func TestFirstPacketsOfQUICAreSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	tr := NewQUIC()
	t.Cleanup(func() { _ = tr.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	dialed := make(chan struct{})
	go func() {
		defer close(dialed)
		_, _ = tr.Dial(ctx, Target{Peer: "b", Address: silent.LocalAddr().String(), TLS: w.clientTLS(t)})
	}()
	buf := make([]byte, maxDatagram)
	for range 2 {
		n, _, err := silent.ReadFromUDP(buf)
		if err != nil || n > quicPacketSize {
			t.Errorf("a packet of %d bytes, %v", n, err)
		}
	}
	cancel()
	<-dialed
}
