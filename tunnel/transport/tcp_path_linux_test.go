package transport

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// swallowing is a way to target that swallows what is sent in large segments, as a path with a small MTU and no ICMP does.
type swallowing struct {
	net.Listener

	wide, narrow atomic.Int32 // connections
}

func swallow(t *testing.T, target string) *swallowing {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallowing{Listener: ln}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.carry(c.(*net.TCPConn), target) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return s
}

func (s *swallowing) carry(c *net.TCPConn, target string) {
	defer c.Close()
	if segmentSize(c) > narrowMSS {
		s.wide.Add(1)
		_, _ = io.Copy(io.Discard, c)
		return
	}
	s.narrow.Add(1)
	up, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	})
	_, _ = io.Copy(up, c)
	_ = up.Close()
	wg.Wait()
}

// segmentSize is what a connection sends at most in one packet, in bytes.
func segmentSize(c *net.TCPConn) int {
	size := 0
	withFD(c, func(fd int) { size, _ = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	return size
}

// TestPathSwallowsLargeSegments: such a path is found by a second connection beside the first, and remembered for the next ones.
func TestPathSwallowsLargeSegments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := NewTCP(TCPConfig{})
	path := swallow(t, w.listen(t, NewTCP(TCPConfig{})).Addr().String())
	for i := range 3 {
		s, err := tr.Dial(t.Context(), Target{Peer: "b", Address: path.Addr().String(), TLS: w.clientTLS(t)})
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if mss := segmentSize(s.(*tcpSession).pulse.tcp); mss > narrowMSS {
			t.Errorf("connection %d sends segments of %d bytes", i, mss)
		}
		s.Close("over")
	}
	if wide, narrow := path.wide.Load(), path.narrow.Load(); wide != 1 || narrow != 3 {
		t.Errorf("%d connections with large segments and %d with small ones", wide, narrow)
	}
}

// TestWidePathStaysWide: an address that answers gets large segments and one connection.
func TestWidePathStaysWide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := NewTCP(TCPConfig{})
	ln := w.listen(t, NewTCP(TCPConfig{}))
	s := w.dial(t, tr, ln.Addr().String())
	if mss := segmentSize(s.(*tcpSession).pulse.tcp); mss <= narrowMSS {
		t.Errorf("segments of %d bytes", mss)
	}
	(<-ln.sessions).Close("over")
	if len(ln.sessions) != 0 || tr.narrow.has(ln.Addr().String(), time.Now()) {
		t.Error("it was dialed twice")
	}
}

func TestNarrowPaths(t *testing.T) {
	t.Parallel()
	var p narrowPaths
	now := time.Unix(1000, 0)
	p.note("old:1", now)
	p.note("a:1", now.Add(time.Minute))
	if !p.has("a:1", now.Add(time.Minute)) || p.has("b:1", now) {
		t.Error("what was noted is not what there is")
	}
	p.note("b:1", now.Add(narrowFor))
	if len(p.since) != 2 {
		t.Errorf("%v", p.since)
	}
	if p.has("a:1", now.Add(narrowFor+time.Minute)) {
		t.Error("it is never tried again")
	}
}

// TestFirstPacketsOfQUICAreSmall: they fit into any path, and so does what comes before the path's MTU is known.
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
