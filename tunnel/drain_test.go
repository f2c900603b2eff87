package tunnel

import (
	"io"
	"testing"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// stoppable is a pair whose second node ends with stop, as its process does.
func stoppable(t *testing.T, ca, cb Config) (p *pair, stop func()) {
	t.Helper()
	b, err := New(t.Context(), cb)
	if err != nil {
		t.Fatal(err)
	}
	stop = runNode(t, b)
	p = &pair{a: startNode(t, ca), b: b}
	b.SetPeers([]Peer{{Name: "a"}})
	p.a.SetPeers([]Peer{{Name: "b", Addresses: []string{b.Addr().String()}}})
	p.awaitUsable(t)
	return p, stop
}

// TestDrainWaitsForTheReader: the last bytes are read although the writer's proxy is shut down as soon as Drain returns.
func TestDrainWaitsForTheReader(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		const size = 256 << 10
		ca, cb := configs(t, withTransport(transport), withHandler(func(in *Incoming) {
			s, err := in.Accept(&tunnelpb.Answer{})
			if err != nil {
				return
			}
			_, _ = s.Write(make([]byte, size))
			_ = s.CloseWrite()
			_, _ = io.Copy(io.Discard, s)
		}))
		p, stop := stoppable(t, ca, cb)
		nb := p.b
		s := p.open(t)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-s.Answered()
		await(t, "the writer is through", func() bool { return openStreams(nb) == 0 })
		drained := make(chan error, 1)
		go func() {
			drained <- nb.Drain(t.Context())
			stop()
		}()
		await(t, "the reader has heard of the GoAway", func() bool { return !p.a.State("b").Usable })
		n, err := io.Copy(io.Discard, s)
		if err != nil || n != size {
			t.Errorf("read %d of %d bytes, %v", n, size, err)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// Without a tunnel there is nothing to wait for.
func TestDrainWithoutLinks(t *testing.T) {
	t.Parallel()
	_, b := configs(t)
	n := startNode(t, b)
	if err := n.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestGoAwayServesOwnCallers: a process that sent GoAway goes on opening its own streams, also when its peers have
// answered that they have none left.
func TestGoAwayServesOwnCallers(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPair(t, withTransport(transport), func(a, _ *Config) { a.Handle = echo })
		l := onlyLink(t, p.b)
		p.b.GoAway()
		await(t, "the peer has no stream left", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.life.peerDone
		})
		if p.a.State("b").Usable {
			t.Error("the peer opens more streams")
		}
		if !p.b.hasUsable("a") {
			t.Error("none can be opened to the peer")
		}
		s, err := p.b.Open(t.Context(), "a", header(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err != nil {
			t.Error(err)
		}
		if err := p.b.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDrainAfterDone: the peer was done before this side opened its last streams; what was sent on these is read all the same.
func TestDrainAfterDone(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, over string) {
		const size = 128 << 10
		type result struct {
			n   int64
			err error
		}
		read := make(chan result, 1)
		goOn := make(chan struct{})
		ca, cb := configs(t, withTransport(over), func(a, _ *Config) {
			a.Handle = func(in *Incoming) {
				s, err := in.Accept(&tunnelpb.Answer{})
				if err != nil {
					return
				}
				_ = s.CloseWrite()
				<-goOn // a slow endpoint
				n, err := io.Copy(io.Discard, s)
				read <- result{n, err}
			}
		})
		p, stop := stoppable(t, ca, cb)
		nb := p.b
		l := onlyLink(t, nb)
		nb.GoAway()
		await(t, "the peer has no stream left", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.life.peerDone
		})
		s, err := nb.Open(t.Context(), "a", header(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(s); err != nil {
			t.Fatal(err)
		}
		drained := make(chan error, 1)
		go func() {
			drained <- nb.Drain(t.Context())
			stop()
		}()
		await(t, "this side is done", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.life.ourDone
		})
		if l.drained() {
			t.Error("drained before the peer has read")
		}
		close(goOn)
		if r := <-read; r.err != nil || r.n != size {
			t.Errorf("the peer reads %d of %d bytes, %v, after Drain", r.n, size, r.err)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestLanesSayDoneAgain: a lane that either side retires waits for what the other still reads, as a link does.
func TestLanesSayDoneAgain(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	for _, n := range []*Node{p.a, p.b} {
		l := onlyLink(t, n)
		for _, c := range l.usableLanes() {
			c.mu.Lock()
			if !c.life.again || !l.life.again {
				t.Errorf("lane %s takes a first done for the last word: %t, its link: %t", c.name, !c.life.again, !l.life.again)
			}
			c.mu.Unlock()
		}
	}
}
