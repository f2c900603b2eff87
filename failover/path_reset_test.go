package failover_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// resets is how many connections are reset at each moment, resetsAtOnce how many of them at a time.
	resets       = 100
	resetsAtOnce = 16
	// fullResets is the same for connections with megabytes in flight, with the race detector.
	fullResets = 8
	// stalled is how long a write takes that meets full windows.
	stalled = 300 * time.Millisecond
)

// end is one side of a connection that is going to be reset. Only one goroutine uses it, so that no other takes
// the socket's error.
type end struct {
	conn *net.TCPConn
	// what goes on when the reset comes: nil, or a copy that runs.
	busy chan error
	// unread: it must notice the reset without reading.
	unread bool
}

// moment is when a reset comes; turn is 0 to 3, for moments that come in several forms.
type moment struct {
	name string
	// lost is how many connections a tunnel has at this moment when it is lost: at most 128 streams together fit on one
	// QUIC lane.
	lost    int
	prepare func(client, server *end, turn int) error
}

var moments = []moment{
	{"before data", 20, func(_, _ *end, _ int) error { return nil }},
	{"after the client's data", 20, func(c, s *end, _ int) error { return transfer(c.conn, s.conn, "from the client") }},
	{"after the server's data", 20, func(c, s *end, _ int) error { return transfer(s.conn, c.conn, "from the server") }},
	{"after both sides' data", 20, func(c, s *end, _ int) error {
		return errors.Join(transfer(c.conn, s.conn, "request"), transfer(s.conn, c.conn, "answer"))
	}},
	{"full windows", 8, func(c, s *end, turn int) error {
		c.unread, s.unread = true, true
		from, to := c.conn, s.conn
		if turn%2 == 1 {
			from, to = to, from
		}
		if err := fill(from); err != nil || turn < 2 {
			return err
		}
		// A slow reader: it has read something, and the windows are full again.
		if _, err := io.CopyN(io.Discard, to, 256<<10); err != nil {
			return err
		}
		return fill(from)
	}},
	{"during data", 12, func(c, s *end, turn int) error {
		if turn%2 == 0 {
			return flow(c, s)
		}
		return flow(s, c)
	}},
}

// flow starts a copy that does not end by itself, and returns once it flows. It flows in small pieces, so that many at a
// time do not keep the machine busy.
func flow(from, to *end) error {
	from.busy, to.busy = make(chan error, 1), make(chan error, 1)
	flowing := make(chan error, 1)
	go func() {
		b := make([]byte, 1<<10)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ; ; <-tick.C {
			if _, err := from.conn.Write(b); err != nil {
				from.busy <- err
				return
			}
		}
	}()
	go func() {
		_, err := io.CopyN(io.Discard, to.conn, 8<<10)
		flowing <- err
		if err == nil {
			err = readOut(to.conn)
		}
		to.busy <- err
	}()
	return <-flowing
}

// fill writes until nothing more goes in: every buffer and window up to the other end, without a reader, is full.
func fill(c *net.TCPConn) error {
	b := make([]byte, 64<<10)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(stalled))
		if _, err := c.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// readOut reads to the end, which is an error unless it is clean.
func readOut(c *net.TCPConn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// mustBeReset says how the end differs from one that was reset; nil when it was.
func (e *end) mustBeReset() error {
	var err error
	switch {
	case e.busy != nil:
		err = <-e.busy
	case e.unread:
		if err := awaitBroken(e.conn); err != nil {
			return err
		}
		err = readOut(e.conn)
	default:
		err = readOut(e.conn)
	}
	switch {
	case err == nil:
		return errors.New("a clean end")
	case !isReset(err):
		return err
	}
	return nil
}

// awaitBroken waits until the kernel knows that the connection was reset, without reading.
func awaitBroken(c *net.TCPConn) error {
	return awaitSocket(c, "the reset has arrived although nobody reads", func(fd int) bool {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		_, _ = unix.Poll(fds, 0)
		return fds[0].Revents&unix.POLLERR != 0
	})
}

// awaitSent waits until the other end's kernel has everything that was written.
func awaitSent(c *net.TCPConn) error {
	return awaitSocket(c, "everything is acknowledged", func(fd int) bool {
		left, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err == nil && left == 0
	})
}

func awaitSocket(c *net.TCPConn, what string, cond func(fd int) bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); time.Now().Before(limit); <-tick.C {
		ok := false
		if err := raw.Control(func(fd uintptr) { ok = cond(int(fd)) }); err != nil || ok {
			return err
		}
	}
	return fmt.Errorf("waited %v until %s", patience, what)
}

// TestPathReset: a reset by either end arrives at the other as a reset, every time and at every moment.
func TestPathReset(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		for _, m := range moments {
			for _, by := range []string{"client", "server"} {
				t.Run(m.name+" by "+by, func(t *testing.T) {
					t.Parallel()
					n := resets
					if raceDetector && m.name == "full windows" {
						n = fullResets
					}
					p := steady(t, spec{transport: transport}, func(p *path) error {
						return repeat(n, resetsAtOnce, func(i int) error { return p.resetBy(by, m, i) })
					})
					p.awaitIdle(t)
				})
			}
		}
	})
}

// steady runs round on a path, which it returns. Where the machine keeps this process waiting for its turn, proxies give
// connections up and take each other for silent: then another path gets another round.
func steady(t *testing.T, sp spec, round func(p *path) error) *path {
	t.Helper()
	for range 5 {
		p := newPath(t, sp)
		longestWait := watchTurns()
		err := round(p)
		waited := longestWait()
		gaveUp := p.gaveUp()
		// An end is known at the socket before it is logged.
		for limit := time.Now().Add(5 * time.Second); err != nil && gaveUp == "" && time.Now().Before(limit); gaveUp = p.gaveUp() {
			<-time.After(10 * time.Millisecond)
		}
		switch {
		case gaveUp != "" && waited > maxTurn:
			t.Logf("once more, the machine is too busy (no turn for %v): %s, %v", waited, gaveUp, err)
			for _, s := range []*site{p.a, p.b} {
				s.stopNode()
				s.stopProxy()
			}
		case err != nil:
			t.Fatalf("%v; %s; longest wait for a turn: %v", err, gaveUp, waited)
		default:
			return p
		}
	}
	t.Fatal("the machine was too busy")
	return nil
}

// maxTurn is how late a goroutine may get its turn before what the proxies gave up may be the machine's fault.
const maxTurn = 300 * time.Millisecond

// watchTurns measures, until longest is called, how late a goroutine gets its turn.
func watchTurns() (longest func() time.Duration) {
	const pause = 20 * time.Millisecond
	stop, late := make(chan struct{}), make(chan time.Duration)
	go func() {
		var most time.Duration
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-stop:
				late <- max(most, time.Since(last)-pause)
				return
			case <-time.After(pause):
				most = max(most, time.Since(last)-pause)
			}
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-late
	}
}

// gaveUp says what a proxy gave up because it took too long or seemed to be lost, "" for nothing.
func (p *path) gaveUp() string {
	for _, s := range []*site{p.a, p.b} {
		if s.log.FilterMessage("link changed state").Len() > 0 {
			return s.name + ": a link was silent"
		}
		for _, line := range s.access.All() {
			m := line.ContextMap()
			if m["result"] == "timeout" {
				return s.name + ": no attempt succeeded in time"
			}
			attempts, _ := m["attempts"].([]any)
			for _, a := range attempts {
				switch result := a.(map[string]any)["result"]; result {
				case "timeout", "suspect", "lost", "unknown", "unreachable":
					return fmt.Sprintf("%s: an attempt ended with %q", s.name, result)
				}
			}
		}
	}
	return ""
}

func (p *path) resetBy(by string, m moment, i int) error {
	c, s, err := p.open()
	if err != nil {
		return err
	}
	client, server := &end{conn: c}, &end{conn: s}
	if err := m.prepare(client, server, i%4); err != nil {
		return fmt.Errorf("prepare: %w%s", err, p.story(c))
	}
	who, whom := client, server
	if by == "server" {
		who, whom = server, client
	}
	reset(who.conn)
	if err := whom.mustBeReset(); err != nil {
		return fmt.Errorf("the other end saw: %w%s", err, p.story(c))
	}
	_ = whom.conn.Close()
	return nil
}

// TestPathDataBeforeReset: what had arrived at the proxy before the reset arrives at a reader before the reset.
func TestPathDataBeforeReset(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 1000, 40_000, 400_000}
	forTransports(t, func(t *testing.T, transport string) {
		p := newPath(t, spec{transport: transport})
		must(t, repeat(60, 4, func(i int) error {
			// A proxy that the machine pauses for longer than its grace for a stalled reader gives up early; not every time.
			var err error
			for range 3 {
				var short bool
				if short, err = p.sayAndReset(sizes[i%len(sizes)], i%3 == 2); !short {
					break
				}
			}
			return err
		}))
	})
}

// sayAndReset has one side write and reset the connection, and says what was wrong about what the other side read;
// short: only that there was too little.
func (p *path) sayAndReset(size int, byClient bool) (short bool, err error) {
	client, server, err := p.open()
	if err != nil {
		return false, err
	}
	from, to := server, client
	if byClient {
		from, to = to, from
	}
	// Without a word before it, a reset could overtake the proxies' connecting.
	if err := errors.Join(transfer(from, to, "hello"), transfer(to, from, "hello")); err != nil {
		return false, fmt.Errorf("%w%s", err, p.story(client))
	}
	written := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, size))
		if err == nil {
			err = awaitSent(from)
		}
		reset(from)
		written <- err
	}()
	n, err := io.Copy(io.Discard, to)
	if werr := <-written; werr != nil {
		return false, werr
	}
	switch {
	case err == nil:
		return false, fmt.Errorf("%d bytes of %d and a clean end%s", n, size, p.story(client))
	case !isReset(err):
		return false, err
	case n != int64(size):
		return true, fmt.Errorf("%d bytes of %d before the reset%s", n, size, p.story(client))
	}
	return false, nil
}

// TestPathTunnelLost: when a node stops, everything that it carried ends as a reset at both ends, whatever was going on.
func TestPathTunnelLost(t *testing.T) {
	t.Parallel()
	rounds := 5
	if raceDetector || testing.Short() {
		rounds = 1
	}
	forTransports(t, func(t *testing.T, transport string) {
		for _, side := range []string{"a", "b"} {
			t.Run(side+" stops", func(t *testing.T) {
				t.Parallel()
				for range rounds {
					var conns []moment
					var ends []*end
					p := steady(t, spec{transport: transport}, func(p *path) (err error) {
						conns, ends, err = p.prepareAll()
						return err
					})
					map[string]*site{"a": p.a, "b": p.b}[side].stopNode()
					for i, e := range ends {
						if err := e.mustBeReset(); err != nil {
							t.Errorf("%s: %v%s", conns[i/2].name, err, p.story(ends[i/2*2].conn))
						}
					}
				}
			})
		}
	})
}

// prepareAll opens connections and brings them to each of the moments. It returns the moment of each, and both ends of each.
func (p *path) prepareAll() ([]moment, []*end, error) {
	var conns []moment
	for _, m := range moments {
		conns = append(conns, slices.Repeat([]moment{m}, m.lost)...)
	}
	ends := make([]*end, 2*len(conns))
	err := repeat(len(conns), resetsAtOnce, func(i int) error {
		c, s, err := p.open()
		if err != nil {
			return err
		}
		ends[2*i], ends[2*i+1] = &end{conn: c}, &end{conn: s}
		if err := conns[i].prepare(ends[2*i], ends[2*i+1], i%4); err != nil {
			return fmt.Errorf("%s: %w%s", conns[i].name, err, p.story(c))
		}
		return nil
	})
	return conns, ends, err
}
