package failover

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eastway/eastway/failover/access"
	"github.com/eastway/eastway/failover/dial"
	"github.com/eastway/eastway/internal/status"
)

// TestRaceIsHeaderOnly: a peer that does not answer in time is raced, and from then on gets no bytes unless it wins.
func TestRaceIsHeaderOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		peer("a", abroad, &fakePeer{handle: silent}),
		peer("b", abroad, &fakePeer{handle: func(in *fakeIncoming) {
			if got, ended := in.early(); got != "" || ended {
				panic("bytes in a race")
			}
			greets(in)
		}}),
	)
	c := w.dial()
	mustGreet(t, c)
	if got, err := ask(t, c, "after"); err != nil || got != "after" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, ended := w.tunnels.streams()[0].early(); got != "" || ended {
		t.Errorf("the silent peer got %q, end %v", got, ended)
	}
	if got := results(w.line()); !slices.Equal(got, []string{"b accepted", "a abandoned"}) {
		t.Errorf("attempts %q", got)
	}
}

// TestBytesDuringARace: what the application sends while two peers are tried is held until one has won.
func TestBytesDuringARace(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	w := newWorld(t,
		peer("a", abroad, &fakePeer{handle: silent}),
		peer("b", abroad, &fakePeer{handle: func(in *fakeIncoming) {
			<-answer
			accepts("b")(in)
		}}),
		peer("c", abroad, &fakePeer{handle: silent}),
	)
	c := w.dial()
	w.eventually("raced", func() bool { return len(w.tunnels.streams()) == 2 })
	if _, err := io.WriteString(c, "hi"); err != nil {
		t.Fatal(err)
	}
	w.eventually("tried elsewhere too", func() bool { return len(w.tunnels.streams()) == 3 }) // bytes have had time to go astray
	for i, s := range w.tunnels.streams() {
		if got, ended := s.early(); got != "" || ended {
			t.Errorf("stream %d got %q, end %v", i, got, ended)
		}
	}
	close(answer)
	if got, err := ask(t, c, "!"); err != nil || got != "b got hi!" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range w.tunnels.streams() {
		if got, ended := s.early(); s.opener.replica != "b-1" && (got != "" || ended) {
			t.Errorf("loser %s got %q, end %v", s.opener.replica, got, ended)
		}
	}
}

// TestBytesOutAreNotRaced: once bytes went into a peer nothing else is tried beside it, however long it takes.
func TestBytesOutAreNotRaced(t *testing.T) {
	t.Parallel()
	sent, answer := make(chan struct{}), make(chan struct{})
	w := newWorld(t,
		peer("a", abroad, &fakePeer{handle: func(in *fakeIncoming) {
			if hears(in, "hi") {
				close(in.opener.suspect) // nor when the lane falls silent
				close(sent)
				<-answer
				accepts("a")(in)
			}
		}}),
		peer("b", abroad, &fakePeer{handle: accepts("b")}),
	)
	isSent := func() bool {
		select {
		case <-sent:
			return true
		default:
			return false
		}
	}
	var c *net.TCPConn
	for before := 0; !isSent(); before = len(w.tunnels.streams()) {
		c = w.dial()
		if _, err := io.WriteString(c, "hi"); err != nil {
			t.Fatal(err)
		}
		// On a busy machine the connection may be raced before its bytes are there: then it is the next one's turn.
		w.eventually("sent", func() bool { return isSent() || len(w.tunnels.streams()) >= before+2 })
	}
	before := len(w.tunnels.streams())
	// A connection that begins now and sends nothing: when it has been raced, the first one would have been as well.
	w.dial()
	w.eventually("the other connection is raced", func() bool { return len(w.tunnels.streams()) >= before+2 })
	close(answer)
	if got, err := ask(t, c, ""); err != nil || got != "a got hi" {
		t.Errorf("got %q, %v", got, err)
	}
	if n := len(w.tunnels.streams()); n != before+2 {
		t.Errorf("%d streams were opened, want two for the other connection", n-before)
	}
}

func TestBytesOutAndNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		func(_ *world, c *Config) { c.ConnectBudget = 2 * dial.LocalStagger },
		peer("a", abroad, &fakePeer{handle: silent}),
		peer("b", abroad, &fakePeer{handle: accepts("b")}),
	)
	if got, err := w.ask("hi"); !isReset(err) {
		t.Errorf("got %q, %v; want a reset", got, err)
	}
	if n := len(w.tunnels.streams()); n != 1 {
		t.Errorf("%d streams were opened", n)
	}
	if got := w.line()["result"]; got != access.Timeout {
		t.Errorf("result %v", got)
	}
}

// TestDeadEndpointsDoNotAddUp: endpoints that swallow connections cost a stagger, and are ejected although they never time out.
func TestDeadEndpointsDoNotAddUp(t *testing.T) {
	t.Parallel()
	hole := blackhole(t)
	live := backend(t, answers("live"))
	w := newWorld(t, endpoints(endpoint(hole, here), endpoint(live, beside)))
	for range ejectAfter {
		if got, err := w.ask("hi"); err != nil || got != "live got hi" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	w.eventually("ejected", func() bool { return w.proxy.Endpoints(echoName)[0].OutlierCheck == status.CheckFailed })
	if got, err := w.ask("hi"); err != nil || got != "live got hi" {
		t.Fatalf("got %q, %v", got, err)
	}
	w.eventually("logged", func() bool { return w.access.Len() == ejectAfter+1 })
	last := w.access.All()[ejectAfter].ContextMap()
	attempts, _ := last["attempts"].([]any)
	began := make(map[string]time.Duration, len(attempts)) // how long before the end
	for _, a := range attempts {
		m, _ := a.(map[string]any)
		began[fmt.Sprint(m["target"])], _ = m["took"].(time.Duration)
	}
	// On a busy machine the other one may be tried beside the one that is slow, but after it.
	if began[live.String()] <= began[hole.String()] {
		t.Errorf("attempts %q, begun %v before the end", results(last), began)
	}
}
