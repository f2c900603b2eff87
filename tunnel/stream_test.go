package tunnel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

func forTransports(t *testing.T, f func(t *testing.T, transport string)) {
	t.Helper()
	for _, tr := range transports {
		t.Run(tr, func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}

func TestEchoAndHalfClose(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), withHandler(echo))
		data := make([]byte, 1<<20)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		for range 5 {
			s := p.open(t)
			go func() {
				_, _ = s.Write(data)
				_ = s.CloseWrite()
			}()
			got, err := io.ReadAll(s)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Fatalf("%d bytes came back of %d, or other ones", len(got), len(data))
			}
		}
		await(t, "no stream is left", func() bool { return openStreams(p.a) == 0 && openStreams(p.b) == 0 })
	})
}

func openStreams(n *Node) int {
	open := 0
	for _, l := range n.allLinks() {
		open += l.openStreams()
	}
	return open
}

func TestServerSpeaksFirst(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{Endpoint: "10.0.0.1:25"})
			if err != nil {
				return
			}
			_, _ = s.Write([]byte("220 hello"))
			_ = s.CloseWrite()
			_, _ = io.Copy(io.Discard, s)
		}))
		s := p.open(t)
		got, err := io.ReadAll(s)
		if err != nil || string(got) != "220 hello" {
			t.Fatalf("read %q, %v", got, err)
		}
		if e := s.Answer().GetEndpoint(); e != "10.0.0.1:25" {
			t.Errorf("answer names endpoint %q", e)
		}
		for range 2 { // the second call does nothing
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			_ = in.Refuse(tunnelpb.Answer_CODE_OVERLOADED, "full", 1500*time.Millisecond)
		}))
		s := p.open(t)
		_, _ = s.Write([]byte("GET / HTTP/1.1\r\n"))
		<-s.Answered()
		var refused *RefusedError
		if err := s.Outcome(); !errors.As(err, &refused) {
			t.Fatalf("outcome %v, want a refusal", err)
		}
		if refused.CodeName() != "overloaded" || refused.Reason != "full" || refused.RetryAfter != 1500*time.Millisecond {
			t.Errorf("refusal %+v", refused)
		}
		await(t, "no stream is left", func() bool { return openStreams(p.a) == 0 && openStreams(p.b) == 0 })
	})
}

// TestResets: a reset from either end, before, during and after data, ends as ErrReset at the other, never as a clean end.
func TestResets(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		serve := make(chan func(*Stream), 1)
		ended := make(chan error, 1)
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				ended <- err
				return
			}
			(<-serve)(s)
		}))
		read := func(s *Stream, want string) error {
			got, err := io.ReadAll(s)
			if err == nil {
				return errors.New("ended cleanly")
			}
			if !errors.Is(err, ErrReset) {
				return err
			}
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("passes for a clean end: %w", err)
			}
			if string(got) != want {
				return errors.New("data before the reset was lost: " + string(got))
			}
			return nil
		}
		for _, data := range []string{"", "some data"} {
			for range 50 {
				serve <- func(s *Stream) {
					_, _ = s.Write([]byte(data))
					s.Reset("endpoint reset")
				}
				if err := read(p.open(t), data); err != nil {
					t.Fatalf("reset by the acceptor after %q: %v", data, err)
				}
				serve <- func(s *Stream) { ended <- read(s, data) }
				s := p.open(t)
				<-s.Answered()
				_, _ = s.Write([]byte(data))
				s.Reset("client reset")
				if err := <-ended; err != nil {
					t.Fatalf("reset by the opener after %q: %v", data, err)
				}
			}
		}
	})
}

// TestResetWaitsForReader: what was sent before a reset is read by one that reads slowly, for longer than one grace.
func TestResetWaitsForReader(t *testing.T) {
	t.Parallel()
	const size, piece, pause = 400_000, 8000, 12 * time.Millisecond
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			_, _ = s.Write(make([]byte, size))
			s.Reset("endpoint reset")
		}))
		await(t, "the reader is not paused by the machine for so long that it seems to have stopped", func() bool {
			n, longest, err := readSlowly(p.open(t), piece, pause)
			if longest > resetGrace/2 {
				return false
			}
			if !errors.Is(err, ErrReset) || n != size {
				t.Errorf("%d bytes of %d, then %v", n, size, err)
			}
			return true
		})
	})
}

// readSlowly reads to the end, piece by piece, and returns the longest time from one to the next.
func readSlowly(s *Stream, piece int64, pause time.Duration) (n int64, longest time.Duration, err error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for last := time.Now(); err == nil; <-tick.C {
		var more int64
		more, err = io.CopyN(io.Discard, s, piece)
		n += more
		longest = max(longest, time.Since(last))
		last = time.Now()
	}
	return n, longest, err
}

// TestResetPastFullWindow: neither end reads, the windows are full, and yet a reset arrives.
func TestResetPastFullWindow(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		done := make(chan struct{})
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			<-s.Done() // never reads
			close(done)
		}))
		s := p.open(t)
		stalled := make(chan struct{})
		var written atomic.Int64
		go func() {
			defer close(stalled)
			b := make([]byte, 64<<10)
			for {
				n, err := s.Write(b)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		last, same := int64(0), 0
		await(t, "the window is full", func() bool {
			if n := written.Load(); n > last {
				last, same = n, 0
				return false
			}
			same++
			return last > 0 && same > 40
		})
		s.Reset("client reset")
		<-done
		<-stalled
	})
}

// TestUnreadStreamsDoNotStallOthers: eight unread streams hold their own windows only.
func TestUnreadStreamsDoNotStallOthers(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		release := make(chan struct{})
		p := newPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			if in.Header().GetService() == "echo" {
				echo(in)
				return
			}
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			select {
			case <-release:
			case <-s.Done():
			}
		}))
		defer close(release)
		for range 8 {
			h := header()
			h.Service = "hole"
			s, err := p.a.Open(t.Context(), "b", h, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Reset("over") })
			go func() { _, _ = s.Write(make([]byte, 64<<20)) }()
		}
		data := make([]byte, 1<<20)
		for range 10 {
			s := p.open(t)
			go func() {
				_, _ = s.Write(data)
				_ = s.CloseWrite()
			}()
			n, err := io.Copy(io.Discard, s)
			if err != nil || n != int64(len(data)) {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
	})
}

func TestCallsGoBothWays(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), func(a, b *Config) { a.Handle, b.Handle = echo, echo })
		s, err := p.b.Open(t.Context(), "a", header(), nil) // a has no address: its own connections carry it
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write([]byte("hi"))
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "hi" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
