package simnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/sim/simnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const latency = 10 * time.Millisecond

// world is two hosts, and a connection between them if there shall be one.
type world struct {
	net    *simnet.Network
	a, b   *simnet.Host
	pa, pb *simnet.Process
	ln     *simnet.Listener
	ca, cb *simnet.Conn
}

// run runs f in a bubble, and checks that the network holds nothing afterwards.
func run(t *testing.T, path simnet.Path, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{net: simnet.New(1, path)}
		w.a, w.b = w.net.Host(netip.MustParseAddr("10.0.0.1")), w.net.Host(netip.MustParseAddr("10.0.0.2"))
		w.pa, w.pb = w.a.Start(), w.b.Start()
		var err error
		if w.ln, err = w.pb.Listen(80); err != nil {
			t.Fatal(err)
		}
		f(t, w)
		w.net.HealAll()
		w.pa.Kill()
		w.pb.Kill()
		bubble.Pass(2 * time.Minute)
		if n, bytes := w.net.Open(), w.net.Buffered(); n != 0 || bytes != 0 {
			t.Errorf("%d ends and %d bytes are left", n, bytes)
		}
	})
}

func (w *world) dial(t *testing.T) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := w.ln.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	var err error
	if w.ca, err = w.pa.Dial(t.Context(), netip.AddrPortFrom(w.b.Addr(), 80)); err != nil {
		t.Fatal(err)
	}
	w.cb = (<-accepted).(*simnet.Conn)
}

func usual() simnet.Path { return simnet.Path{Latency: latency} }

func TestBytesArriveInOrderAfterTheLatency(t *testing.T) {
	run(t, simnet.Path{Latency: latency, Jitter: 5 * latency, Loss: 0.2}, func(t *testing.T, w *world) {
		w.dial(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // more than fits
		go func() {
			if n, err := w.ca.Write(sent); n != len(sent) || err != nil {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			if err := w.ca.CloseWrite(); err != nil {
				t.Error(err)
			}
		}()
		got, err := io.ReadAll(w.cb)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		if _, err := w.cb.Write([]byte("still open")); err != nil {
			t.Errorf("write after the other side's half-close: %v", err)
		}
	})
}

func TestDialTakesARoundTrip(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		began := time.Now()
		w.dial(t)
		if took := time.Since(began); took != 2*latency {
			t.Errorf("dialing took %v", took)
		}
	})
}

func TestDialThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		mode simnet.Mode
		port uint16
		err  error
		took time.Duration
	}{
		{"nothing listens", simnet.Accepting, 81, syscall.ECONNREFUSED, 2 * latency},
		{"refused", simnet.Refusing, 80, syscall.ECONNREFUSED, 2 * latency},
		{"dropped", simnet.Dropping, 80, context.DeadlineExceeded, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, usual(), func(t *testing.T, w *world) {
				w.ln.SetMode(tc.mode)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				_, err := w.pa.Dial(ctx, netip.AddrPortFrom(w.b.Addr(), tc.port))
				if !errors.Is(err, tc.err) || time.Since(began) != tc.took {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

func TestHowTheOtherEndSeesAnEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		end  func(w *world)
		want error // after the byte that was sent before
	}{
		{"closed", func(w *world) { _ = w.ca.Close() }, io.EOF},
		{"closed with linger 0", func(w *world) { _ = w.ca.SetLinger(0); _ = w.ca.Close() }, syscall.ECONNRESET},
		{"closed with unread bytes", func(w *world) {
			_, _ = w.cb.Write([]byte("unread"))
			bubble.Pass(2 * latency)
			_ = w.ca.Close()
		}, syscall.ECONNRESET},
		{"killed", func(w *world) { w.pa.Kill() }, io.EOF},
		{"killed with linger 0", func(w *world) { _ = w.ca.SetLinger(0); w.pa.Kill() }, syscall.ECONNRESET},
		{"vanished", func(w *world) { bubble.Pass(2 * latency); w.a.Vanish() }, syscall.ETIMEDOUT},
		{"vanished and back", func(w *world) {
			bubble.Pass(2 * latency)
			w.a.Vanish()
			w.a.Return()
			_, _ = w.cb.Write([]byte("to no socket"))
		}, syscall.ECONNRESET},
		{"cut", func(w *world) { bubble.Pass(2 * latency); w.net.Cut(w.a.Addr(), w.b.Addr()) }, syscall.ECONNRESET},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, usual(), func(t *testing.T, w *world) {
				w.dial(t)
				_, _ = w.ca.Write([]byte("x"))
				tc.end(w)
				var b [8]byte
				if n, err := w.cb.Read(b[:]); n != 1 || err != nil {
					t.Errorf("what was sent before: %d bytes, %v", n, err)
				}
				if n, err := w.cb.Read(b[:]); n != 0 || !errors.Is(err, tc.want) {
					t.Errorf("the end: %d bytes, %v", n, err)
				}
				if _, err := w.ca.Write([]byte("x")); tc.want != io.EOF && err == nil { //nolint:errorlint // a table's
					t.Error("the end that was lost can be written to")
				}
			})
		})
	}
}

func TestSilence(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		w.net.Silence(w.a.Addr(), w.b.Addr())
		_, _ = w.ca.Write([]byte("later"))
		_, _ = w.cb.Write([]byte("now"))
		bubble.Pass(10 * time.Second)
		var b [8]byte
		if n, err := w.ca.Read(b[:]); n != 3 || err != nil {
			t.Errorf("the other way: %d bytes, %v", n, err)
		}
		_ = w.cb.SetReadDeadline(time.Now())
		if n, err := w.cb.Read(b[:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("during the silence: %d bytes, %v", n, err)
		}
		_ = w.cb.SetReadDeadline(time.Time{})
		w.net.Heal(w.a.Addr(), w.b.Addr())
		began := time.Now()
		if n, err := w.cb.Read(b[:]); n != 5 || err != nil || time.Since(began) < latency {
			t.Errorf("after the silence: %d bytes, %v, after %v", n, err, time.Since(began))
		}
		w.net.Silence(w.a.Addr(), w.b.Addr())
		_, _ = w.ca.Write([]byte("never"))
		if _, err := w.ca.Read(b[:]); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("after TCP_USER_TIMEOUT: %v", err)
		}
	})
}

// TestShortSilence: what was lost is sent again soon after, as the sender has not waited long.
func TestShortSilence(t *testing.T) {
	const silence, most = 50 * time.Millisecond, 50*time.Millisecond + 200*time.Millisecond + 3*latency
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		for range 20 {
			w.net.Silence(w.a.Addr(), w.b.Addr())
			_, _ = w.ca.Write([]byte("x"))
			bubble.Pass(silence)
			w.net.Heal(w.a.Addr(), w.b.Addr())
			began := time.Now()
			if n, err := w.cb.Read(make([]byte, 1)); n != 1 || err != nil || time.Since(began) > most {
				t.Errorf("%d bytes, %v, after %v", n, err, time.Since(began))
			}
		}
	})
}

func TestCutAtAByte(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		w.net.CutAfter(w.a.Addr(), w.b.Addr(), 5)
		if n, err := w.ca.Write([]byte("0123456789")); n != 5 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		got, err := io.ReadAll(w.cb)
		if string(got) != "01234" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %q, %v", got, err)
		}
		<-w.ca.Broken()
		<-w.cb.Broken()
	})
}

func TestEndAtAByte(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		w.net.EndAfter(w.a.Addr(), w.b.Addr(), 5)
		if n, err := w.ca.Write([]byte("0123456789")); n != 5 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		got, err := io.ReadAll(w.cb)
		if string(got) != "01234" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		<-w.ca.Broken()
		_, _ = w.cb.Write([]byte("answer"))
		<-w.cb.Broken()
	})
}

func TestFullBufferHoldsTheWriter(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		_ = w.ca.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := w.ca.Write(make([]byte, 10<<20))
		if n == 0 || n > 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
	})
}

func TestSlowAndPaused(t *testing.T) {
	run(t, usual(), func(t *testing.T, w *world) {
		w.dial(t)
		_, _ = w.ca.Write([]byte("x"))
		w.b.Pause(time.Second)
		began := time.Now()
		var b [1]byte
		if _, err := w.cb.Read(b[:]); err != nil || time.Since(began) != time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		w.a.Slow(time.Second)
		began = time.Now()
		_, _ = w.ca.Write([]byte("x"))
		if _, err := w.cb.Read(b[:]); err != nil || time.Since(began) <= latency {
			t.Errorf("from a slow host after %v: %v", time.Since(began), err)
		}
	})
}

func TestRate(t *testing.T) {
	run(t, simnet.Path{Latency: latency, Rate: 1 << 20}, func(t *testing.T, w *world) {
		w.dial(t)
		began := time.Now()
		go func() {
			_, _ = w.ca.Write(make([]byte, 4<<20))
			_ = w.ca.CloseWrite()
		}()
		if n, err := io.Copy(io.Discard, w.cb); n != 4<<20 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if took := time.Since(began); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("4 MiB at 1 MiB/s took %v", took)
		}
	})
}
