package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// muxPair is a mux on each end of a connection in memory.
func muxPair(t *testing.T) (a, b *mux) {
	t.Helper()
	ca, cb := net.Pipe()
	a, b = onPipe(ca, true), onPipe(cb, false)
	t.Cleanup(func() {
		a.close()
		b.close()
	})
	return a, b
}

func onPipe(c net.Conn, dialed bool) *mux {
	return newMux(c, func() { _ = c.Close() }, func() int { return muxWindow }, dialed)
}

// opened is a stream of a's, and the same on b, which has read its first byte.
func opened(t *testing.T, a, b *mux) (there, here *muxStream) {
	t.Helper()
	there, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = there.Write([]byte{1}) }()
	here, err = b.accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(here, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return there, here
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestMuxCarries: many streams at a time, both ways, in writes of all sizes; nothing is left.
func TestMuxCarries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := muxPair(t)
		data := noise(3 << 20)
		var wg sync.WaitGroup
		for i := range 20 {
			there, here := opened(t, a, b)
			for _, s := range [][2]*muxStream{{there, here}, {here, there}} {
				wg.Go(func() {
					for rest := data[:len(data)/(i+1)]; len(rest) > 0; {
						n := min(len(rest), 1+rand.IntN(200_000))
						if _, err := s[0].Write(rest[:n]); err != nil {
							t.Error(err)
							return
						}
						rest = rest[n:]
					}
				})
				wg.Go(func() {
					got := make([]byte, len(data)/(i+1))
					if _, err := io.ReadFull(s[1], got); err != nil || !bytes.Equal(got, data[:len(got)]) {
						t.Errorf("stream %d: %v, or other bytes", i, err)
					}
				})
			}
			t.Cleanup(there.Finish)
			t.Cleanup(here.Finish)
		}
		wg.Wait()
	})
}

// TestMuxFinish: a stream that both sides have finished leaves nothing, one that has only been opened neither.
func TestMuxFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := muxPair(t)
		there, here := opened(t, a, b)
		there.Finish()
		if _, err := here.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // exactly that
			t.Errorf("after the peer's end: %v", err)
		}
		here.Finish()
		silent, err := a.open()
		if err != nil {
			t.Fatal(err)
		}
		silent.Abort(false)
		synctest.Wait()
		for name, m := range map[string]*mux{"a": a, "b": b} {
			if m.count() != 0 || m.granted != 0 || m.unacked != 0 || len(m.dirty) != 0 {
				t.Errorf("%s has %d streams, %d bytes granted, %d not accepted, %d to send", name, m.count(), m.granted, m.unacked, len(m.dirty))
			}
		}
	})
}

// TestMuxDeadlines: a call that waits hears of a deadline that is set meanwhile, and of an abort.
func TestMuxDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := muxPair(t)
		there, here := opened(t, a, b)
		errs := make(chan error, 2)
		read := func() { _, err := here.Read(make([]byte, 1)); errs <- err }
		write := func() { _, err := there.Write(make([]byte, 4<<20)); errs <- err }
		go read()
		synctest.Wait()
		_ = here.SetReadDeadline(time.Now().Add(time.Second))
		if err := <-errs; err == nil {
			t.Error("nothing was read")
		}
		_ = here.SetReadDeadline(time.Time{})
		go write()
		synctest.Wait()
		_ = there.SetWriteDeadline(time.Unix(1, 0))
		if err := <-errs; err == nil {
			t.Error("more than the window was written")
		}
		_ = there.SetWriteDeadline(time.Time{})
		go write()
		synctest.Wait()
		there.Abort(true)
		if err := <-errs; err == nil {
			t.Error("written to a stream that was given up")
		}
		if n, _ := io.Copy(io.Discard, here); n != muxWindow-1 {
			t.Errorf("%d bytes arrived of what was written before", n)
		}
		go read()
		here.Abort(false)
		if err := <-errs; err == nil {
			t.Error("read from a stream that was given up")
		}
	})
}

// TestMuxAbortOnAStalledConnection: where nothing is read on the other side and a write holds the connection, streams are
// given up and finished without waiting.
func TestMuxAbortOnAStalledConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, cb := net.Pipe()
		defer cb.Close()
		m := onPipe(ca, true)
		defer m.close()
		streams := make([]*muxStream, 3)
		for i := range streams {
			s, err := m.open()
			if err != nil {
				t.Fatal(err)
			}
			streams[i] = s
		}
		go func() { _, _ = streams[0].Write([]byte("stuck")) }()
		go func() { _, _ = streams[1].Write([]byte("behind it")) }()
		synctest.Wait()
		ended := make(chan struct{})
		go func() {
			streams[0].Abort(true)
			streams[1].Finish()
			streams[2].Abort(false)
			close(ended)
		}()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("waited for the network")
		}
	})
}

// TestYamuxInterop: the release before has hashicorp/yamux on the other side.
func TestYamuxInterop(t *testing.T) {
	t.Parallel()
	for _, dialed := range []bool{true, false} {
		t.Run(fmt.Sprintf("dialed %v", dialed), func(t *testing.T) {
			t.Parallel()
			ca, cb := net.Pipe()
			cfg := yamux.DefaultConfig()
			cfg.EnableKeepAlive, cfg.LogOutput, cfg.MaxStreamWindowSize, cfg.StreamOpenTimeout = false, io.Discard, 1<<20, 0
			start := yamux.Client
			if dialed {
				start = yamux.Server
			}
			theirs, err := start(cb, cfg)
			if err != nil {
				t.Fatal(err)
			}
			ours := onPipe(ca, dialed)
			defer theirs.Close()
			defer ours.close()
			data := noise(5 << 20)
			echo := func(s io.ReadWriter, finish func()) {
				_, _ = io.CopyN(s, s, int64(len(data)))
				finish()
			}
			call := func(s io.ReadWriter, finish func()) {
				defer finish()
				go func() { _, _ = s.Write(data) }()
				got := make([]byte, len(data))
				if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%v, or other bytes", err)
				}
			}
			var wg sync.WaitGroup
			const streams = 8
			wg.Go(func() {
				for range streams {
					s, err := ours.accept(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					wg.Go(func() { echo(s, s.Finish) })
				}
			})
			wg.Go(func() {
				for range streams {
					s, err := theirs.AcceptStream()
					if err != nil {
						t.Error(err)
						return
					}
					wg.Go(func() { echo(s, func() { _ = s.Close() }) })
				}
			})
			for range streams {
				wg.Go(func() {
					s, err := ours.open()
					if err != nil {
						t.Error(err)
						return
					}
					call(s, s.Finish)
				})
				wg.Go(func() {
					s, err := theirs.OpenStream()
					if err != nil {
						t.Error(err)
						return
					}
					call(s, func() { _ = s.Close() })
				})
			}
			wg.Wait()
			await(t, "no stream is left", func() bool { return ours.count() == 0 && theirs.NumStreams() == 0 })
		})
	}
}

// TestTCPOverAnyNetwork: TLS and the mux run over connections that are no sockets, on a bubble's time.
func TestTCPOverAnyNetwork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := simnet.New(1, simnet.Path{}).Host(netip.MustParseAddr("127.0.0.1")) // where w listens
		tunnels := simnet.Tunnels{Process: host.Start()}
		cfg := TCPConfig{Dial: tunnels.Dial, Listen: tunnels.Listen}
		w := newWorld(t)
		s := w.pair(t, func() Transport { return NewTCP(cfg) })
		st, err := s.Open()
		if err != nil {
			t.Fatal(err)
		}
		mustEcho(t, st)
		if s.Heard() != 0 || s.Stats().RTT != 0 {
			t.Errorf("heard %v ago, RTT %v", s.Heard(), s.Stats().RTT)
		}
		wait := time.NewTimer(time.Minute)
		<-wait.C
		if s.Heard() != time.Minute {
			t.Errorf("heard %v ago", s.Heard())
		}
	})
}

func TestInTime(t *testing.T) {
	t.Parallel()
	if got := inTime(context.DeadlineExceeded); !strings.Contains(got.Error(), "no answer within 5s") || !errors.Is(got, context.DeadlineExceeded) {
		t.Errorf("a deadline is %v", got)
	}
	if got := inTime(net.ErrClosed); !errors.Is(got, net.ErrClosed) || got.Error() != net.ErrClosed.Error() {
		t.Errorf("another error is %v", got)
	}
}

// TestMuxWriteBehindAStuckOne: a Write that waits for another stream's write, on a connection whose peer reads nothing, ends at
// its deadline and with Abort.
func TestMuxWriteBehindAStuckOne(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *muxStream){
		"deadline": func(s *muxStream) { _ = s.SetWriteDeadline(time.Now().Add(time.Second)) },
		"abort":    func(s *muxStream) { s.Abort(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				m := onPipe(near, true)
				defer m.close()
				defer far.Close()
				stuck, _ := m.open()
				waiting, _ := m.open()
				go func() { _, _ = stuck.Write([]byte{1}) }()
				synctest.Wait()
				done := make(chan error, 1)
				go func() {
					_, err := waiting.Write([]byte{1})
					done <- err
				}()
				synctest.Wait()
				end(waiting)
				bubble.Pass(2 * time.Second)
				select {
				case err := <-done:
					if err == nil {
						t.Error("written, on a connection that nothing reads")
					}
				default:
					t.Error("still waiting")
				}
				if waiting.sendWindow != initialWindow {
					t.Errorf("a window of %d, want all of it: nothing was sent", waiting.sendWindow)
				}
			})
		})
	}
}

// TestMuxStreamIDs: the last IDs are used, and no more.
func TestMuxStreamIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := muxPair(t)
		for _, m := range []*mux{a, b} {
			m.mu.Lock()
			m.nextID += (maxStreamID - 4) &^ 1
			m.mu.Unlock()
			n := 0
			for ; n < 10; n++ {
				if _, err := m.open(); err != nil {
					break
				}
			}
			if n == 0 || n > 3 {
				t.Errorf("%d streams opened at the end of the IDs", n)
			}
		}
	})
}
