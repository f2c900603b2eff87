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
	resets       = 32
	resetsAtOnce = 8
	// stalled is how long a write takes that meets full windows.
	stalled = 2 * time.Second
)

// end is one side of a connection that is going to be reset. Only one goroutine uses it, so that no other takes
// the socket's error.
type end struct {
	conn conn
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
func fill(c conn) error {
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
func readOut(c conn) error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// mustBeReset returns how the end differs from one that was reset; nil when it was.
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

// awaitBroken waits until the reset has arrived, without reading.
func awaitBroken(c conn) error {
	if c, ok := c.(interface{ Broken() <-chan struct{} }); ok {
		select {
		case <-c.Broken():
			return nil
		case <-time.After(patience):
			return errors.New("no reset has arrived")
		}
	}
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	broken := false
	if !eventually(func() bool {
		err = raw.Control(func(fd uintptr) {
			fds := []unix.PollFd{{Fd: int32(fd)}}
			_, _ = unix.Poll(fds, 0)
			broken = fds[0].Revents&unix.POLLERR != 0
		})
		return err != nil || broken
	}) {
		return errors.New("no reset has arrived")
	}
	return err
}

// TestPathReset: a reset by either end arrives at the other as a reset, every time and at every moment.
func TestPathReset(t *testing.T) {
	t.Parallel()
	for _, m := range moments {
		for _, by := range []string{"client", "server"} {
			t.Run(m.name+" by "+by, func(t *testing.T) {
				t.Parallel()
				inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
					p := newPath(t, spec{on: g, transport: over})
					resets := resets
					if raceDetector {
						resets = resetsAtOnce
					}
					must(t, repeat(resets, resetsAtOnce, func(i int) error { return p.resetBy(by, m, i) }))
					p.awaitIdle(t)
				})
			})
		}
	}
}

// TestPathResetOnSockets: the kernel's RSTs, at every moment and by either end.
func TestPathResetOnSockets(t *testing.T) {
	t.Parallel()
	onSockets(t, func(t *testing.T, over string) {
		p := newPath(t, spec{on: machine{}, transport: over})
		for _, m := range moments {
			for _, by := range []string{"client", "server"} {
				must(t, repeat(4, 4, func(i int) error { return p.resetBy(by, m, i) }))
			}
		}
		p.awaitIdle(t)
	})
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
	from, to := client, server
	if by == "server" {
		from, to = server, client
	}
	reset(from.conn)
	if err := to.mustBeReset(); err != nil {
		return fmt.Errorf("the other end saw: %w%s", err, p.story(c))
	}
	_ = to.conn.Close()
	if from.busy != nil {
		<-from.busy
	}
	return nil
}

// TestPathDataBeforeReset: what had arrived at the proxy before the reset arrives at a reader before the reset.
func TestPathDataBeforeReset(t *testing.T) {
	t.Parallel()
	sizes := []int{1, 1000, 40_000, 400_000}
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over})
		must(t, repeat(60, 4, func(i int) error { return p.sendAndReset(sizes[i%len(sizes)], i%3 == 2) }))
	})
}

// sendAndReset has one side write and reset the connection; the other must read all of it and then the reset.
func (p *path) sendAndReset(size int, byClient bool) error {
	client, server, err := p.open()
	if err != nil {
		return err
	}
	from, to := server, client
	if byClient {
		from, to = to, from
	}
	// Without a byte before it, a reset could overtake the proxies' connecting.
	if err := errors.Join(transfer(from, to, "hello"), transfer(to, from, "hello")); err != nil {
		return fmt.Errorf("%w%s", err, p.story(client))
	}
	written := make(chan error, 1)
	go func() {
		_, err := from.Write(make([]byte, size))
		reset(from)
		written <- err
	}()
	n, err := io.Copy(io.Discard, to)
	if werr := <-written; werr != nil {
		return werr
	}
	if n != int64(size) || !isReset(err) {
		return fmt.Errorf("%d bytes of %d, then %w%s", n, size, err, p.story(client))
	}
	return nil
}

// TestPathTunnelLost: when a node stops, everything that it carried ends as a reset at both ends, whatever was going on.
func TestPathTunnelLost(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"a", "b"} {
		t.Run(side+" stops", func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
				newPath(t, spec{on: g, transport: over}).mustLose(t, side)
			})
			t.Run("quic", func(t *testing.T) {
				t.Parallel()
				newPath(t, spec{on: machine{}, transport: "quic"}).mustLose(t, side)
			})
		})
	}
}

// mustLose stops one side's node while connections are at each of the moments.
func (p *path) mustLose(t *testing.T, side string) {
	t.Helper()
	conns, ends, err := p.prepareAll()
	must(t, err)
	map[string]*site{"a": p.a, "b": p.b}[side].stopNode()
	for i, e := range ends {
		if err := e.mustBeReset(); err != nil {
			t.Errorf("%s: %v%s", conns[i/2].name, err, p.story(ends[i/2*2].conn))
		}
	}
}

// prepareAll opens connections and brings them to each of the moments. It returns the moment of each, and both ends of each.
func (p *path) prepareAll() ([]moment, []*end, error) {
	var conns []moment
	for _, m := range moments {
		n := m.lost
		if raceDetector {
			n = 4 // one for each turn
		}
		conns = append(conns, slices.Repeat([]moment{m}, n)...)
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
