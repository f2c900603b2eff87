// Package leak finds what processes leave behind: sessions, streams, goroutines, and memory that is still referred to. Sessions are
// looked at while a process runs and when it has ended. What its memory hangs on (a goroutine, a table, a timer that still runs) is
// looked at when the world has ended: then the garbage collector has to find all of it.
package leak

import (
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/eastway/eastway/tunnel/transport"
)

// Sessions are those of one process's tunnels.
type Sessions struct {
	mu  sync.Mutex
	all []transport.Session
}

// Add notes a session.
func (s *Sessions) Add(sess transport.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.openLocked(), sess)
}

// Open are those that have not ended.
func (s *Sessions) Open() []transport.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = s.openLocked()
	return s.all
}

func (s *Sessions) openLocked() []transport.Session {
	return slices.DeleteFunc(slices.Clone(s.all), func(o transport.Session) bool {
		select {
		case <-o.Done():
			return true
		default:
			return false
		}
	})
}

// OwnStreams are the streams of a session that carry no call: control records and messages.
const OwnStreams = 2

// StreamProblem is empty unless a session holds a stream of a call; all of them have ended.
func (s *Sessions) StreamProblem() string {
	for _, o := range s.Open() {
		if n := o.Streams(); n > OwnStreams {
			local, remote := o.Addrs()
			return fmt.Sprintf("%d streams are left in the session from %v to %v", n-OwnStreams, local, remote)
		}
	}
	return ""
}

// Watched notes the sessions of a transport in s.
func Watched(t transport.Transport, s *Sessions) transport.Transport { return watchedTransport{t, s} }

// watchedTransport notes the sessions of a transport.
type watchedTransport struct {
	transport.Transport
	sessions *Sessions
}

func (t watchedTransport) Dial(ctx context.Context, to transport.Target) (transport.Session, error) {
	s, err := t.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	t.sessions.Add(s)
	return s, nil
}

func (t watchedTransport) Listen(ctx context.Context, addr string, cfg *tls.Config, gate transport.Gate) (transport.Listener, error) {
	l, err := t.Transport.Listen(ctx, addr, cfg, gate)
	if err != nil {
		return nil, err
	}
	return watchedListener{l, t.sessions}, nil
}

type watchedListener struct {
	transport.Listener
	sessions *Sessions
}

func (l watchedListener) Serve(ctx context.Context, handle func(context.Context, transport.Session)) error {
	return l.Listener.Serve(ctx, func(ctx context.Context, s transport.Session) {
		l.sessions.Add(s)
		handle(ctx, s)
	})
}

// Memory are parts of processes, by name, that must be garbage at the end. Whatever belongs to a call or a tunnel leads to one.
type Memory struct {
	mu    sync.Mutex
	parts map[string]func() (held bool)
}

// NewMemory watches nothing yet.
func NewMemory() *Memory { return &Memory{parts: make(map[string]func() bool)} }

// Remember watches a part without holding it.
func Remember[T any](m *Memory, name string, part *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := weak.Make(part)
	m.parts[name] = func() bool { return p.Value() != nil }
}

// Held are the parts that are still reachable.
func (m *Memory) Held() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range 2 { // the first empties pools
		runtime.GC()
	}
	var names []string
	for name, held := range m.parts {
		if held() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ForgetStoppedTimers has the runtime look at all timers of the bubble: it keeps one that was stopped, and what that refers to, until a
// timer fires that was moved.
func ForgetStoppedTimers() {
	fired := make(chan struct{})
	time.AfterFunc(time.Hour, func() { close(fired) }).Reset(time.Nanosecond)
	<-fired
}

// Goroutines are those of this bubble but for the caller's and the test's own.
func Goroutines() []string {
	buf := make([]byte, 4<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	_, bubble, _ := strings.Cut(stacks[0], "synctest bubble ")
	bubble, _, _ = strings.Cut(bubble, "]")
	var left []string
	for _, s := range stacks[1:] {
		header, _, _ := strings.Cut(s, "\n")
		own := strings.Contains(s, "synctest.Test") || strings.Contains(s, "internal/synctest.Run")
		if strings.Contains(header, "synctest bubble "+bubble+"]") && !own {
			left = append(left, s)
		}
	}
	return left
}
