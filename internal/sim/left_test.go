package sim

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/eastway/eastway/tunnel/transport"
)

type piece struct{ bytes [1 << 10]byte }

// TestMemoryHeld: what a variable or a timer refers to is held, what nothing refers to is not.
func TestMemoryHeld(t *testing.T) {
	t.Parallel()
	m := newMemory()
	timer := func() *time.Timer {
		p := new(piece)
		remember(m, "of a timer", p)
		return time.AfterFunc(time.Hour, func() { p.bytes[0]++ })
	}()
	kept := new(piece)
	remember(m, "kept", kept)
	remember(m, "dropped", new(piece))
	if got := m.held(); !slices.Equal(got, []string{"kept", "of a timer"}) {
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
	var s sessions
	idle, ended := &fakeSession{streams: ownStreams, done: make(chan struct{})}, &fakeSession{streams: 9, done: make(chan struct{})}
	close(ended.done)
	s.add(idle)
	s.add(ended)
	if open, problem := s.open(), s.streamProblem(); len(open) != 1 || open[0] != idle || problem != "" {
		t.Errorf("%d sessions are open, %q", len(open), problem)
	}
	idle.streams++
	if problem := s.streamProblem(); !strings.HasPrefix(problem, "1 streams are left") {
		t.Errorf("one stream is left: %q", problem)
	}
}

func TestGaugesLeft(t *testing.T) {
	t.Parallel()
	r := &proxyRun{registry: prometheus.NewRegistry()}
	active := prometheus.NewGauge(prometheus.GaugeOpts{Name: "eastway_connections_active", Help: "."})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "eastway_other", Help: "."})
	r.registry.MustRegister(active, other)
	other.Set(1)
	if s := r.gaugeProblem(idleGauges()); s != "" {
		t.Errorf("nothing is left: %s", s)
	}
	active.Set(2)
	if s := r.gaugeProblem(idleGauges()); s != "eastway_connections_active[] is 2" {
		t.Errorf("two connections are left: %q", s)
	}
}
