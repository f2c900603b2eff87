package tunnel

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// unanswered is a handler that leaves streams for the service "never" without an answer, and echoes others.
func unanswered(in *Incoming) {
	if in.Header().GetService() == "never" {
		<-in.Context().Done()
		return
	}
	echo(in)
}

// openNever opens a stream that gets no answer.
func (p *pair) openNever(t *testing.T) *Stream {
	t.Helper()
	never := header()
	never.Service = "never"
	s, err := p.a.Open(t.Context(), "b", never, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSilence: a peer that falls silent is suspect, then dead; streams end as the design says; it comes back.
func TestSilence(t *testing.T) {
	t.Parallel()
	forBubbles(t, []pairOption{withHandler(unanswered)}, func(t *testing.T, p *bubbled) { p.mustSurviveSilence(t) })
	t.Run("quic", func(t *testing.T) { // over sockets: QUIC has no others
		t.Parallel()
		p, _ := newWiredPair(t, withTransport("quic"), withHandler(unanswered))
		p.mustSurviveSilence(t)
	})
}

func (p *pair) mustSurviveSilence(t *testing.T) {
	t.Helper()
	running := p.open(t)
	<-running.Answered()
	headerOnly, withData := p.openNever(t), p.openNever(t)
	if _, err := withData.Write([]byte("POST")); err != nil {
		t.Fatal(err)
	}
	p.silence(true)

	<-headerOnly.Suspect()
	if st := p.a.State("b"); st.Usable {
		t.Error("a suspect peer is usable")
	}
	if _, err := p.a.Open(t.Context(), "b", header(), nil); !errors.Is(err, ErrNoLane) {
		t.Errorf("Open to a suspect peer: %v", err)
	}
	headerOnly.Reset("moving on")

	<-withData.Answered()
	var lost *LostError
	if err := withData.Outcome(); !errors.As(err, &lost) || !lost.Sent {
		t.Errorf("outcome of a stream with data: %v, want LostError with Sent", err)
	}
	<-running.Done()
	if _, err := io.ReadAll(running); !errors.Is(err, ErrReset) {
		t.Errorf("running stream ended with %v", err)
	}

	p.silence(false)
	p.awaitUsable(t)
	mustEcho(t, p.open(t))
}

// TestShortSilence: a silence between suspect and dead breaks nothing.
func TestShortSilence(t *testing.T) {
	t.Parallel()
	forBubbles(t, []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
		s := p.open(t)
		<-s.Answered()
		p.silence(true)
		<-s.Suspect()
		p.silence(false)
		await(t, "usable again", func() bool { return p.a.State("b").Usable })
		mustEcho(t, s)
	})
}

// TestEitherTransportAlone: with two transports and one blocked after connecting, the other carries everything.
func TestEitherTransportAlone(t *testing.T) {
	t.Parallel()
	for blocked, other := range map[string]string{"tcp": "mem", "mem": "tcp"} {
		t.Run("without "+blocked, func(t *testing.T) {
			t.Parallel()
			inBubble(t, "both", []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
				block := map[string]func(bool){"tcp": p.silenceTCP, "mem": p.mem.Hold}[blocked]
				both := func() bool { return lanesOf(p.a, "tcp") > 0 && lanesOf(p.a, "mem") > 0 }
				await(t, "lanes of both", both)
				block(true)
				await(t, "the blocked lanes are given up", func() bool { return lanesOf(p.a, blocked) == 0 })
				if lanesOf(p.a, other) == 0 {
					t.Fatalf("no %s lane is left", other)
				}
				await(t, "there is a control connection over the other", func() bool {
					st := p.a.Status()
					return len(st[0].Links) == 1 && st[0].Links[0].Control == other
				})
				mustEcho(t, p.open(t))
				block(false)
				await(t, "lanes of both again", both)
			})
		})
	}
}

// TestPeerProcessDies: a process that is killed leaves its sockets to the kernel, which closes them; what is in flight fails at
// once, not after a silence.
func TestPeerProcessDies(t *testing.T) {
	t.Parallel()
	accepted := make(chan struct{}, 1)
	inBubble(t, "tcp", []pairOption{withHandler(func(in *Incoming) {
		if s, err := in.Accept(&tunnelpb.Answer{}); err == nil {
			accepted <- struct{}{}
			<-s.Done()
		}
	})}, func(t *testing.T, p *bubbled) {
		s := p.open(t)
		<-s.Answered()
		bubble.Pass(time.Minute)
		began := time.Now()
		p.procs[1].Kill()
		if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
			t.Errorf("stream ended with %v", err)
		}
		if took := time.Since(began); took != latency {
			t.Errorf("noticed after %v, one flight takes %v", took, latency)
		}
	})
}

// TestOneRoundTrip: on a new stream, with its lane long idle or not, the first byte of an answer is there after one flight each
// way.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"fresh": 0, "idle": 5 * time.Minute} {
		t.Run("tcp "+name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, "tcp", []pairOption{withHandler(echo)}, func(t *testing.T, p *bubbled) {
				bubble.Pass(idle)
				began := time.Now()
				s := p.open(t)
				if _, err := s.Write([]byte("request")); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 2*latency {
					t.Errorf("answered after %v, one flight takes %v", took, latency)
				}
			})
		})
	}
	t.Run("quic", func(t *testing.T) {
		t.Parallel()
		oneFlightEachWay(t)
	})
}

// oneFlightEachWay has nothing pass in the other direction while a request, and then its answer, is under way over QUIC.
func oneFlightEachWay(t *testing.T) {
	t.Helper()
	got := make(chan error, 1)
	p, w := newWiredPair(t, withTransport("quic"), withHandler(func(in *Incoming) {
		s, err := in.Accept(&tunnelpb.Answer{})
		if err == nil {
			_, err = io.ReadFull(s, make([]byte, len("request")))
		}
		got <- err
		_, _ = s.Write([]byte("answer"))
		<-s.Done()
	}))
	w.set(func() { w.noUDP[fromTarget] = true })
	s := p.open(t)
	if _, err := s.Write([]byte("request")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.noUDP = [2]bool{toTarget: true} })
	if _, err := io.ReadFull(s, make([]byte, len("answer"))); err != nil {
		t.Error(err)
	}
}
