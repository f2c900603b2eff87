package tunnel

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// newWiredPair is a pair whose a reaches b over a wire.
func newWiredPair(t *testing.T, opts ...pairOption) (*pair, *network) {
	t.Helper()
	p := &pair{}
	var w *network
	ca, cb := configs(t, opts...)
	p.b = startNode(t, cb)
	w = newNetwork(t, p.b.Addr().String())
	p.a = startNode(t, ca)
	p.b.SetPeers([]Peer{{Name: "a"}})
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{w.addr}}})
	p.awaitUsable(t)
	return p, w
}

func lanesOf(n *Node, transport string) int {
	sum := 0
	for _, l := range n.allLinks() {
		lanes, _ := l.laneCounts()
		sum += lanes[transport]
	}
	return sum
}

// TestSilence: a peer that falls silent is suspect, then dead; streams end as the design says; it comes back.
func TestSilence(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p, w := newWiredPair(t, withTransport(transport), withHandler(func(in *Incoming) {
			if in.Header().GetService() == "never" {
				<-in.Context().Done()
				return
			}
			echo(in)
		}))
		running := p.open(t)
		<-running.Answered()
		never := header()
		never.Service = "never"
		headerOnly, err := p.a.Open(t.Context(), "b", never, nil)
		if err != nil {
			t.Fatal(err)
		}
		withData, err := p.a.Open(t.Context(), "b", never, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := withData.Write([]byte("POST")); err != nil {
			t.Fatal(err)
		}
		w.set(func() { w.silent = true })

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

		w.set(func() { w.silent = false })
		p.awaitUsable(t)
		await(t, "a call works again", func() bool {
			s, err := p.a.Open(t.Context(), "b", header(), nil)
			if err != nil {
				return false
			}
			defer s.Reset("over")
			<-s.Answered()
			return s.Outcome() == nil
		})
	})
}

// TestShortSilence: a silence between suspect and dead breaks nothing.
func TestShortSilence(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p, w := newWiredPair(t, withTransport(transport), withHandler(echo))
		s := p.open(t)
		<-s.Answered()
		w.set(func() { w.silent = true })
		<-s.Suspect()
		w.set(func() { w.silent = false })
		await(t, "usable again", func() bool { return p.a.State("b").Usable })
		_, _ = s.Write([]byte("still here"))
		_ = s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "still here" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestEitherTransportAlone: with both enabled and one blocked, before or after connecting, the other carries everything.
func TestEitherTransportAlone(t *testing.T) {
	t.Parallel()
	for _, blocked := range []string{"tcp", "quic"} {
		t.Run("without "+blocked, func(t *testing.T) {
			t.Parallel()
			p, w := newWiredPair(t, withHandler(echo))
			await(t, "lanes of both", func() bool { return lanesOf(p.a, "tcp") > 0 && lanesOf(p.a, "quic") > 0 })
			other := map[string]string{"tcp": "quic", "quic": "tcp"}[blocked]
			w.set(func() { w.noTCP, w.noUDP = blocked == "tcp", blocked == "quic" })
			await(t, "the blocked lanes are given up", func() bool { return lanesOf(p.a, blocked) == 0 })
			if lanesOf(p.a, other) == 0 {
				t.Fatalf("no %s lane is left", other)
			}
			await(t, "there is a control connection over the other", func() bool {
				st := p.a.Status()
				return len(st[0].Links) == 1 && st[0].Links[0].Control == other
			})
			s := p.open(t)
			_, _ = s.Write([]byte("x"))
			_ = s.CloseWrite()
			if got, err := io.ReadAll(s); err != nil || string(got) != "x" {
				t.Errorf("%q, %v", got, err)
			}
			w.set(func() { w.noTCP, w.noUDP = false, false })
			await(t, "lanes of both again", func() bool { return lanesOf(p.a, "tcp") > 0 && lanesOf(p.a, "quic") > 0 })
		})
	}
}

// TestPeerProcessDies: closing the sockets at once (as a killed process does) fails what is in flight at once, not after a silence.
func TestPeerProcessDies(t *testing.T) {
	t.Parallel()
	accepted := make(chan struct{}, 8)
	ca, cb := configs(t, withTransport("tcp"), withHandler(func(in *Incoming) {
		s, err := in.Accept(&tunnelpb.Answer{})
		if err != nil {
			return
		}
		accepted <- struct{}{}
		<-s.Done()
	}))
	nb, err := New(t.Context(), cb)
	if err != nil {
		t.Fatal(err)
	}
	stop := runNode(t, nb)
	p := &pair{a: startNode(t, ca), b: nb}
	nb.SetPeers([]Peer{{Name: "a"}})
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{nb.Addr().String()}}})
	p.awaitUsable(t)
	s := p.open(t)
	<-accepted
	start := time.Now()
	stop()
	if _, err := io.ReadAll(s); !errors.Is(err, ErrReset) {
		t.Errorf("stream ended with %v", err)
	}
	if took := time.Since(start); took > deadAfter {
		t.Errorf("noticed after %v only", took)
	}
}

// TestOneRoundTrip counts flights: on a fresh stream, with its lane long idle or not, the first answer byte is there after one flight each way.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "quic"} {
		for _, idle := range []bool{false, true} {
			name := map[bool]string{false: transport + " fresh", true: transport + " idle"}[idle]
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for range 5 {
					p, w := newWiredPair(t, withTransport(transport), withHandler(echo))
					if idle {
						start := time.Now()
						await(t, "the lanes have been idle for longer than a silence", func() bool {
							return time.Since(start) > 2*suspectAfter && lanesOf(p.a, transport) > 0
						})
					}
					busy, err := oneRoundTrip(t, p, w)
					if err == nil {
						return
					}
					if !busy {
						t.Fatal(err)
					}
					t.Logf("once more, the machine is too busy: %v", err)
				}
				t.Fatal("the machine was too busy")
			})
		}
	}
}

// oneRoundTrip has a request and its answer wait on the wire, one after the other. Pings wait there as well: busy says that it
// took so long until both had passed that a's lane may be given up.
func oneRoundTrip(t *testing.T, p *pair, w *network) (busy bool, err error) {
	t.Helper()
	began := time.Now()
	late := func() bool { return time.Since(began) >= suspectAfter }
	w.set(func() { w.step = true })
	defer w.set(func() { w.step = false })
	s, err := p.a.Open(t.Context(), "b", header(), nil)
	if err != nil {
		return late(), err
	}
	defer s.Reset("test is over")
	if _, err := s.Write([]byte("request")); err != nil {
		return late(), err
	}
	first := make(chan error, 1)
	go func() {
		var b [1]byte
		_, err := io.ReadFull(s, b[:])
		first <- err
	}()
	await(t, "the request waits on the wire", func() bool { return w.waits(0) })
	w.release(0)
	await(t, "the answer waits on the wire", func() bool { return w.waits(1) })
	select {
	case err := <-first:
		if err == nil {
			t.Error("answered without a flight back")
		}
		return late(), err
	default:
	}
	busy = late()
	w.release(1)
	return busy, <-first
}
