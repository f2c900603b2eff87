package leak

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/tunnel/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type piece struct{ bytes [1 << 10]byte }

// TestMemoryHeld: what a variable or a timer refers to is held, what nothing refers to is not.
func TestMemoryHeld(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	timer := func() *time.Timer {
		p := new(piece)
		Remember(m, "of a timer", p)
		return time.AfterFunc(time.Hour, func() { p.bytes[0]++ })
	}()
	kept := new(piece)
	Remember(m, "kept", kept)
	Remember(m, "dropped", new(piece))
	if got := m.Held(); !slices.Equal(got, []string{"kept", "of a timer"}) {
		t.Errorf("held: %q", got)
	}
	runtime.KeepAlive(kept)
	timer.Stop()
}

// fakeSession is open until it is closed, and holds some streams.
type fakeSession struct {
	transport.Session
	streams int
	done    chan struct{}
}

func (s *fakeSession) Streams() int                    { return s.streams }
func (s *fakeSession) Done() <-chan struct{}           { return s.done }
func (s *fakeSession) Addrs() (local, remote net.Addr) { return &net.TCPAddr{}, &net.TCPAddr{} }

func TestSessionsLeft(t *testing.T) {
	t.Parallel()
	var s Sessions
	idle, ended := &fakeSession{streams: OwnStreams, done: make(chan struct{})}, &fakeSession{streams: 9, done: make(chan struct{})}
	close(ended.done)
	s.Add(idle)
	s.Add(ended)
	if open, problem := s.Open(), s.StreamProblem(); len(open) != 1 || open[0] != idle || problem != "" {
		t.Errorf("%d sessions are open, %q", len(open), problem)
	}
	idle.streams++
	if problem := s.StreamProblem(); !strings.HasPrefix(problem, "1 streams are left") {
		t.Errorf("one stream is left: %q", problem)
	}
}
