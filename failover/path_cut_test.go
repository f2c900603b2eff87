package failover_test

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
	"github.com/eastway/eastway/internal/sim/simnet"
)

// download is what a client has of a body of known length.
type download struct {
	body, got []byte
	err       error
}

// read reads to the end.
func (d *download) read(c conn) { d.got, d.err = io.ReadAll(c) }

// whole: everything arrived, with a clean end.
func (d *download) whole() bool { return d.err == nil && bytes.Equal(d.got, d.body) }

// check refuses everything but the whole body and a part of it that a reset ended.
func (d *download) check() error {
	switch {
	case !bytes.HasPrefix(d.body, d.got):
		return fmt.Errorf("%d bytes arrived that are not the body's first", len(d.got))
	case d.err == nil && len(d.got) < len(d.body):
		return fmt.Errorf("%d bytes of %d, then a clean end", len(d.got), len(d.body))
	case d.err != nil && !isReset(d.err):
		return fmt.Errorf("%d bytes of %d, then: %w", len(d.got), len(d.body), d.err)
	}
	return nil
}

// pattern is a body whose parts differ.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// TestPathCutAtAnyByte: the lane breaks after any number of bytes, with a RST or a FIN; the client gets all of the answer or a
// reset. What follows goes over other lanes.
func TestPathCutAtAnyByte(t *testing.T) {
	t.Parallel()
	// What the peer sends for one such answer: the body, and the headers of records, of the mux and of TLS.
	const body, all = 1500, 2100
	step := 7
	if raceDetector {
		step *= 7
	}
	inBubbles(t, []string{"tcp", "both"}, func(t *testing.T, g *simulated, over string) {
		d := download{body: pattern(body)}
		p := newPath(t, spec{on: g, transport: over, b: []discovery.Endpoint{
			ready(listen(t, g, func(c conn) {
				_, _ = c.Write(d.body)
				_ = c.Close()
			}), near),
		}})
		reset, whole := 0, 0
		for n := 0; n < all; n += step {
			await(t, "there are lanes", func() bool { return p.a.lanes("b", "tcp") > 1 && p.a.node.State("b").Usable })
			cut := g.net.CutAfter
			if n%2 == 0 {
				cut = g.net.EndAfter
			}
			cut(siteAddrs["b"], siteAddrs["a"], int64(n))
			if c, err := p.dial(); err != nil {
				d.got, d.err = nil, err // reset before connect had returned
			} else {
				d.read(c)
				_ = c.Close()
			}
			g.net.CutNever(siteAddrs["b"], siteAddrs["a"])
			if err := d.check(); err != nil {
				t.Errorf("cut after %d bytes: %v", n, err)
			}
			if d.whole() {
				whole++
			} else {
				reset++
			}
		}
		if reset < all/step/4 || whole == 0 {
			t.Errorf("%d were reset and %d arrived whole: the cuts do not hit", reset, whole)
		}
	})
}

// TestPathSilenced: the network falls silent while many answers are on their way. Once the lane is given up each client has its
// whole answer or a reset, and the connections' other ends know too.
func TestPathSilenced(t *testing.T) {
	t.Parallel()
	const rate = 100_000 // bytes per second: the answers take half a second
	for _, after := range []time.Duration{0, wan, wan + 70*time.Millisecond, wan + 300*time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, g *simulated) {
				p := newPath(t, spec{on: g, transport: "tcp"})
				wait := p.download(t)
				g.net.SetPath(siteAddrs["b"], siteAddrs["a"], simnet.Path{Latency: wan, Rate: rate})
				mustBeCutOff(t, wait, func() {
					bubble.Pass(after)
					g.silence("a", "b")
					g.silence("b", "a")
				})
			})
		})
	}
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, g *simulated) {
			p := newPath(t, spec{on: g, transport: "mem"})
			wait := p.download(t)
			g.mem.Hold(true)
			defer g.mem.Hold(false)
			mustBeCutOff(t, wait, func() {})
		})
	})
}

func mustBeCutOff(t *testing.T, start func() (wait func() (cutOff int, err error)), silence func()) {
	t.Helper()
	wait := start()
	silence()
	cutOff, err := wait()
	if err != nil {
		t.Error(err)
	}
	if cutOff == 0 {
		t.Error("too late, everything had arrived")
	}
}

// download opens connections on which the first part of an answer has been sent. start sends the rest; wait returns how many
// were cut off.
func (p *path) download(t *testing.T) (start func() (wait func() (cutOff int, err error))) {
	t.Helper()
	downloads := make([]download, 30)
	conns := make([][2]conn, len(downloads))
	for i := range downloads {
		client, server := p.connect()
		conns[i] = [...]conn{client, server}
		downloads[i].body = pattern(1000 + 100*i)
		_, err := server.Write(downloads[i].body[:i*25])
		must(t, err)
	}
	var g errgroup.Group
	return func() func() (int, error) {
		for i := range downloads {
			d, client, server := &downloads[i], conns[i][0], conns[i][1]
			g.Go(func() error {
				d.read(client)
				return d.check()
			})
			g.Go(func() error {
				_, _ = server.Write(d.body[i*25:])
				_ = server.CloseWrite()
				// The client never ends its direction: only a reset ends it.
				if err := readOut(server); !isReset(err) {
					return fmt.Errorf("the endpoint saw: %w", err)
				}
				return nil
			})
		}
		return func() (int, error) {
			err := g.Wait()
			cutOff := 0
			for i := range downloads {
				if !downloads[i].whole() {
					cutOff++
				}
			}
			return cutOff, err
		}
	}
}

// TestPathPeerStopsWhileSending: the peer's node ends while many answers are on their way.
func TestPathPeerStopsWhileSending(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"a", "b"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			inBubbles(t, simTransports, func(t *testing.T, on *simulated, over string) {
				newPath(t, spec{on: on, transport: over}).mustStopWhileSending(t, side)
			})
		})
	}
}

func (p *path) mustStopWhileSending(t *testing.T, side string) {
	t.Helper()
	downloads := make([]download, 64)
	var g errgroup.Group
	var arrived atomic.Int64
	enough, stopped := make(chan struct{}), make(chan struct{})
	for i := range downloads {
		d := &downloads[i]
		d.body = pattern(1 + i*i*64)
		client, server := p.connect()
		g.Go(func() error {
			buf := make([]byte, 4<<10)
			for d.err == nil {
				n, err := client.Read(buf)
				d.got = append(d.got, buf[:n]...)
				if at := arrived.Add(int64(n)); at >= 1<<20 && at-int64(n) < 1<<20 {
					close(enough)
				}
				d.err = err
			}
			if d.err == io.EOF { //nolint:errorlint // a connection returns io.EOF itself
				d.err = nil
			}
			return d.check()
		})
		g.Go(func() error {
			half := len(d.body) / 2
			_, _ = server.Write(d.body[:half])
			if i%4 == 3 {
				<-stopped
			}
			_, _ = server.Write(d.body[half:])
			_ = server.Close()
			return nil
		})
	}
	<-enough
	map[string]*site{"a": p.a, "b": p.b}[side].stopNode()
	close(stopped)
	must(t, g.Wait())
	whole := 0
	for i := range downloads {
		if downloads[i].whole() {
			whole++
		}
	}
	if whole == 0 || whole == len(downloads) {
		t.Errorf("%d of %d arrived whole: the stop came at no good time", whole, len(downloads))
	}
}
