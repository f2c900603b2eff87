package failover_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
)

// download is what a client has of a body of known length.
type download struct {
	body, got []byte
	err       error
}

// read reads to the end.
func (d *download) read(c *net.TCPConn) { d.got, d.err = io.ReadAll(c) }

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

// TestPathCutAtAnyByte: the lane breaks after any number of bytes; the client gets all of the answer or a reset. What
// follows goes over other lanes.
func TestPathCutAtAnyByte(t *testing.T) {
	t.Parallel()
	// What the peer says for one such answer: the body, records' headers, yamux' and TLS'.
	const body, all, step = 1500, 2100, 13
	for _, transport := range []string{"tcp", "both"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			d := download{body: pattern(body)}
			p := newPath(t, spec{transport: transport, wired: true, b: []discovery.Endpoint{
				ready(listen(t, func(c *net.TCPConn) {
					_, _ = c.Write(d.body)
					_ = c.Close()
				}), near),
			}})
			reset, whole := 0, 0
			for n := 0; n < all; n += step {
				await(t, "there are lanes", func() bool { return p.a.lanes("b", "tcp") > 1 && p.a.node.State("b").Usable })
				p.wire.cutAfter(n, n%2 == 0)
				if c, err := p.dial(); err != nil {
					d.got, d.err = nil, err // reset before connect had returned
				} else {
					d.read(c)
					_ = c.Close()
				}
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
}

// TestPathSilencedAtAnyByte: the network swallows everything after any number of bytes, while many answers are on their
// way. Once the lane is given up each client has its whole answer or a reset, and the connections' other ends know too.
// All at the same time: most of it is waiting.
func TestPathSilencedAtAnyByte(t *testing.T) {
	t.Parallel()
	var waits []func()
	for _, transport := range transports {
		for _, n := range []int{0, 700, 20_000} {
			wait := silenced(t, transport, n)
			waits = append(waits, func() {
				cutOff, err := wait()
				if err != nil {
					t.Errorf("%s silent after %d bytes: %v", transport, n, err)
				}
				if cutOff == 0 {
					t.Errorf("%s silent after %d bytes: too late, everything had arrived", transport, n)
				}
			})
		}
	}
	for _, wait := range waits {
		wait()
	}
}

// silenced starts downloads and a silence after n bytes; wait says how many were cut off.
func silenced(t *testing.T, transport string, n int) (wait func() (cutOff int, err error)) {
	t.Helper()
	downloads := make([]download, 30)
	conns := make([][2]*net.TCPConn, len(downloads))
	p := steady(t, spec{transport: transport, wired: true}, func(p *path) error {
		for i := range downloads {
			client, server, err := p.open()
			if err != nil {
				return err
			}
			conns[i] = [...]*net.TCPConn{client, server}
			downloads[i].body = pattern(1000 + 100*i)
			if _, err := server.Write(downloads[i].body[:i*25]); err != nil {
				return err
			}
		}
		return nil
	})
	var g errgroup.Group
	start := make(chan struct{})
	for i := range downloads {
		d, client, server := &downloads[i], conns[i][0], conns[i][1]
		g.Go(func() error {
			d.read(client)
			return d.check()
		})
		g.Go(func() error {
			<-start
			_, _ = server.Write(d.body[i*25:])
			_ = server.CloseWrite()
			// The client never ends its direction: only a reset ends it.
			if err := readOut(server); !isReset(err) {
				return fmt.Errorf("the endpoint saw: %w", err)
			}
			return nil
		})
	}
	p.wire.silenceAfter(n)
	close(start)
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

// TestPathPeerStopsWhileSending: the peer's node ends while many answers are on their way.
func TestPathPeerStopsWhileSending(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		for _, side := range []string{"a", "b"} {
			t.Run(side, func(t *testing.T) {
				t.Parallel()
				p := newPath(t, spec{transport: transport})
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
						if d.err == io.EOF { //nolint:errorlint // a socket returns io.EOF itself
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
			})
		}
	})
}
