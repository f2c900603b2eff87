package transport

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	type step struct {
		n, held int // negative n: put
		ok      bool
		used    int64
	}
	for name, steps := range map[string][]step{
		"all of it is the last byte's":     {{50, 0, true, 50}, {50, 0, true, 100}, {1, 0, false, 100}},
		"a stream has what is left beside": {{50, 0, true, 50}, {1, 50, false, 50}, {30, 20, true, 80}, {10, 10, true, 90}},
		"what is put can be taken":         {{100, 0, true, 100}, {-60, 0, true, 40}, {61, 0, false, 40}, {60, 0, true, 100}},
		"more than there is":               {{101, 0, false, 0}, {100, 1, false, 0}},
	} {
		b := NewBudget(100)
		for i, s := range steps {
			ok := true
			if s.n < 0 {
				b.put(-s.n)
			} else {
				ok = b.take(s.n, s.held)
			}
			if ok != s.ok || b.Used() != s.used {
				t.Errorf("%s: step %d: %v with %d used", name, i, ok, b.Used())
			}
		}
	}
	var none *Budget
	if none.put(1); !none.take(1<<40, 1<<40) || none.spare(7) != 7 {
		t.Error("no budget bounds something")
	}
}

// TestMuxMemory: streams of two sessions that nothing reads hold no more than the budget of their peer, a small one has room
// beside them, and everything is given back.
func TestMuxMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, streams, sent = 1 << 20, 64, 100_000
		budget := NewBudget(limit)
		var unread []*muxStream
		sessions := []*hostile{newHostile(t), newHostile(t)}
		for _, h := range sessions {
			h.m.charge(budget)
			for i := range uint32(streams) {
				id := 2*i + 1
				h.send(frame{kind: frameWindow, flags: flagSYN, stream: id}, nil)
				s, err := h.m.accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				unread = append(unread, s)
				h.send(frame{kind: frameData, stream: id, length: sent}, make([]byte, sent))
			}
		}
		synctest.Wait()
		held := sessions[0].m.held() + sessions[1].m.held()
		if used := int(budget.Used()); held > limit || used != held || held < limit/2 {
			t.Errorf("%d bytes are held and %d charged of at most %d", held, used, limit)
		}
		mustMeet(t, sessions[0].m, LimitMemory, 1)
		mustMeet(t, sessions[1].m, LimitMemory, streams/2)
		failed := unread[len(unread)-1]
		if _, err := failed.Read(make([]byte, 1)); !errors.Is(err, ErrMemory) {
			t.Errorf("reading what was dropped: %v", err)
		}
		if _, err := failed.Write(make([]byte, 1)); !errors.Is(err, ErrMemory) {
			t.Errorf("writing: %v", err)
		}
		h := sessions[1]
		h.send(frame{kind: frameData, flags: flagSYN, stream: 1001, length: 5}, []byte("small"))
		s, err := h.m.accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := make([]byte, 5); readAll(s, got) != nil || string(got) != "small" {
			t.Errorf("a small stream read %q", got)
		}
		for _, s := range unread[:streams/2] {
			s.Abort(false)
		}
		for _, h := range sessions {
			h.m.close()
		}
		if used := budget.Used(); used != 0 {
			t.Errorf("%d bytes are charged at the end", used)
		}
	})
}

func readAll(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	return err
}

// TestQUICMemory: a stream that is not read takes its window off the budget, one that waits for bytes takes nothing.
func TestQUICMemory(t *testing.T) {
	t.Parallel()
	a, b := quicPair(t)
	budget := NewBudget(2 * quicStreamWindow)
	b.Charge(budget)
	var there []Stream
	open := func() {
		s, err := a.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		there = append(there, s)
	}
	accepted := make(chan Stream)
	accept := func() {
		go func() {
			s, err := b.Accept(t.Context())
			if err != nil {
				t.Error(err)
			}
			accepted <- s
		}()
	}
	accept()
	open()
	first := <-accepted
	accept()
	open()
	second := <-accepted
	if used := budget.Used(); used != 2*quicStreamWindow {
		t.Errorf("%d bytes are charged for two streams that nothing reads", used)
	}
	accept()
	open() // refused
	if _, err := io.ReadFull(there[2], make([]byte, 1)); err == nil {
		t.Error("a stream beyond the budget is open")
	}
	read := make(chan error, 1)
	buf := make([]byte, 1)
	go func() {
		_, err := io.ReadFull(first, buf)
		if err == nil {
			_, err = first.Read(buf) // waits
		}
		read <- err
	}()
	await(t, "a stream that is read takes nothing", func() bool { return budget.Used() == quicStreamWindow })
	open()
	third := <-accepted
	if got := b.Limits()[LimitMemory]; got != 1 {
		t.Errorf("met %d times", got)
	}
	if _, err := there[0].Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, ErrMemory) {
		t.Errorf("with no room for it, the reader got %v", err)
	}
	for _, s := range []Stream{first, second, third} {
		s.Abort(true)
		s.Finish()
	}
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes are charged at the end", used)
	}
}

func quicPair(t *testing.T) (a, b Session) {
	t.Helper()
	w, tr := newWorld(t), NewQUIC()
	ln := w.listen(t, tr)
	client := NewQUIC()
	a, err := client.Dial(t.Context(), Target{Peer: "b", Address: ln.Addr().String(), TLS: w.clientTLS(t)})
	if err != nil {
		t.Fatal(err)
	}
	b = <-ln.sessions
	t.Cleanup(func() {
		a.Close("over")
		b.Close("over")
		_ = client.Close()
	})
	return a, b
}
