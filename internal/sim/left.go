package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
	"weak"

	"github.com/eastway/eastway/tunnel/transport"
)

// What a process must not leave behind. Its metrics and sessions are looked at while it runs and when it has ended. What its
// memory hangs on (a goroutine, a table, a timer that still runs) is looked at when the world has ended: then the garbage
// collector has to find all of it.

// idleGauges are 0 while no call is under way and all is well.
func idleGauges() []string {
	return []string{
		"eastway_connections_active", "eastway_tunnel_streams", "eastway_failover_ejected_endpoints", "eastway_failover_listener_errors",
	}
}

// endedGauges are 0, or not there, when a process has ended.
func endedGauges() []string {
	return []string{"eastway_connections_active", "eastway_tunnel_streams", "eastway_tunnel_connections", "eastway_tunnel_links"}
}

// gaugeProblem is the first gauge that is not 0.
func (r *proxyRun) gaugeProblem(names []string) string {
	families, err := r.registry.Gather()
	if err != nil {
		return "gather metrics: " + err.Error()
	}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			if v := m.GetGauge().GetValue(); v != 0 {
				return fmt.Sprintf("%s%v is %v", f.GetName(), m.GetLabel(), v)
			}
		}
	}
	return ""
}

// checkEnded looks for what a process has left whose Runs have returned.
func (r *proxyRun) checkEnded() {
	w := r.proxy.w
	if s := r.gaugeProblem(endedGauges()); s != "" {
		w.findings.violate(RuleClean, "%s has ended: %s", r.replica, s)
	}
	if n := len(r.sessions.open()); n > 0 {
		w.findings.violate(RuleClean, "%s has ended: %d sessions of its tunnels are open", r.replica, n)
	}
}

// sessions are those of one process's tunnels.
type sessions struct {
	mu  sync.Mutex
	all []transport.Session
}

func (s *sessions) add(sess transport.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.openLocked(), sess)
}

func (s *sessions) open() []transport.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = s.openLocked()
	return s.all
}

func (s *sessions) openLocked() []transport.Session {
	return slices.DeleteFunc(slices.Clone(s.all), func(o transport.Session) bool {
		select {
		case <-o.Done():
			return true
		default:
			return false
		}
	})
}

// ownStreams are the streams of a session that carry no call: control records and messages.
const ownStreams = 2

// streamProblem: no session holds a stream of a call that has ended.
func (s *sessions) streamProblem() string {
	for _, o := range s.open() {
		if n := o.Streams(); n > ownStreams {
			local, remote := o.Addrs()
			return fmt.Sprintf("%d streams are left in the session from %v to %v", n-ownStreams, local, remote)
		}
	}
	return ""
}

// watchedTransport notes the sessions of a transport.
type watchedTransport struct {
	transport.Transport
	sessions *sessions
}

func (t watchedTransport) Dial(ctx context.Context, to transport.Target) (transport.Session, error) {
	s, err := t.Transport.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	t.sessions.add(s)
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
	sessions *sessions
}

func (l watchedListener) Serve(ctx context.Context, handle func(context.Context, transport.Session)) error {
	return l.Listener.Serve(ctx, func(ctx context.Context, s transport.Session) {
		l.sessions.add(s)
		handle(ctx, s)
	})
}

// memory are parts of processes, by name, that must be garbage at the end. Whatever belongs to a call or a tunnel leads to one.
type memory struct {
	mu    sync.Mutex
	parts map[string]func() (held bool)
}

func newMemory() *memory { return &memory{parts: make(map[string]func() bool)} }

// remember watches a part without holding it.
func remember[T any](m *memory, name string, part *T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := weak.Make(part)
	m.parts[name] = func() bool { return p.Value() != nil }
}

// held are the parts that are still reachable.
func (m *memory) held() []string {
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

// checkLeft looks for what nothing should have left behind.
func (w *world) checkLeft() {
	pass(w.http2Lingers())
	forgetStoppedTimers()
	synctest.Wait()
	// Before time passes: a timer that would fire later holds them, too.
	if held := w.parts.held(); len(held) > 0 {
		w.findings.violate(RuleClean, "processes have ended, and something still refers to: %s", strings.Join(held, ", "))
	}
	pass(2 * time.Minute) // the network forgets what it cannot deliver
	synctest.Wait()
	if n, bytes := w.net.Open(), w.net.Buffered(); n > 0 || bytes > 0 {
		w.findings.violate(RuleClean, "%d ends of connections and %d bytes are left in the network", n, bytes)
	}
	if n := w.net.Listening(); n > 0 {
		w.findings.violate(RuleClean, "%d ports are still open", n)
	}
	if n, listeners := w.memory.Open(); n > 0 || listeners > 0 {
		w.findings.violate(RuleClean, "%d sides of sessions and %d listeners are left in the in-memory transport", n, listeners)
	}
	if left := goroutines(); len(left) > 0 {
		w.findings.violate(RuleClean, "%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
}

// http2Lingers is longer than net/http remembers HTTP/2 connections that have ended: its client for 5 s, its server for the idle timeout
// (1 h) if they broke while a request was under way.
func (w *world) http2Lingers() time.Duration {
	const client, server = 6 * time.Second, time.Hour + time.Minute
	var longest time.Duration
	for _, r := range w.ledger.replies {
		if !r.client.HTTP2 {
			continue
		}
		longest = max(longest, client)
		broke := r.err != nil
		lines := w.access.of(r.from)
		for i := range lines {
			broke = broke || slices.ContainsFunc(lines[i].attempts, func(t attempt) bool {
				return t.result != "accepted" && t.result != "answered"
			})
		}
		if broke {
			return server
		}
	}
	return longest
}

// forgetStoppedTimers has the runtime look at all timers of the bubble: it keeps one that was stopped, and what that refers to, until a
// timer fires that was moved.
func forgetStoppedTimers() {
	fired := make(chan struct{})
	time.AfterFunc(time.Hour, func() { close(fired) }).Reset(time.Nanosecond)
	<-fired
}

// goroutines are those of this bubble but for the caller's and the test's own.
func goroutines() []string {
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
