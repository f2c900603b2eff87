package failover_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/pprof"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
)

// TestPathGigabyte: much data in both directions at once arrives as it was sent.
func TestPathGigabyte(t *testing.T) {
	t.Parallel()
	size := int64(1 << 30)
	if raceDetector || testing.Short() {
		size = 32 << 20 // each way
	}
	forTransports(t, func(t *testing.T, transport string) {
		p := newPath(t, spec{transport: transport})
		client, server := p.connect()
		var g errgroup.Group
		var sums [][2]hash.Hash // sent and received, each way
		for i, way := range [][2]*net.TCPConn{{client, server}, {server, client}} {
			from, to := way[0], way[1]
			_ = from.SetDeadline(time.Now().Add(5 * time.Minute))
			sent, received := sha256.New(), sha256.New()
			g.Go(func() error {
				data := rand.NewChaCha8([32]byte{byte(i)})
				if _, err := io.CopyN(io.MultiWriter(from, sent), data, size); err != nil {
					return err
				}
				return from.CloseWrite()
			})
			g.Go(func() error {
				n, err := io.Copy(received, to)
				if err != nil || n != size {
					return fmt.Errorf("%d bytes of %d, %w%s", n, size, err, p.story(client))
				}
				return nil
			})
			sums = append(sums, [2]hash.Hash{sent, received})
		}
		must(t, g.Wait())
		for _, sum := range sums {
			if !bytes.Equal(sum[0].Sum(nil), sum[1].Sum(nil)) {
				t.Error("other bytes arrived than were sent")
			}
		}
		p.awaitIdle(t)
	})
}

// TestPathShortConnections: a new connection for each request, very often; nothing fails, and nothing is left of them.
func TestPathShortConnections(t *testing.T) {
	const atOnce = 32
	connections := 10_000
	if raceDetector || testing.Short() {
		connections = 1000
	}
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			message := bytes.Repeat([]byte("0123456789"), 10)
			sp := spec{transport: transport, b: []discovery.Endpoint{ready(listen(t, echo), near)}}
			steady(t, sp, func(p *path) error {
				ask := func(int) error { return p.ask(message) }
				if transport != "quic" {
					p.widen(t)
				}
				if err := repeat(300, atOnce, ask); err != nil {
					return err
				}
				p.awaitIdle(t)
				before, were := runtime.NumGoroutine(), stacks()
				if err := repeat(connections, atOnce, ask); err != nil {
					return err
				}
				p.awaitIdle(t)
				if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
					return fmt.Errorf("%d goroutines, %d before: %s\n\nbefore: %s", runtime.NumGoroutine(), before, stacks(), were)
				}
				return nil
			})
		})
	}
}

// widen holds connections until the tunnel has as many TCP lanes as it ever has (they are kept for a minute without a stream):
// from then on only connections add goroutines.
func (p *path) widen(t *testing.T) {
	t.Helper()
	const most = 8
	var held []*net.TCPConn
	await(t, "all lanes", func() bool {
		lanes := 0
		for _, lane := range p.a.node.Status()[0].Links[0].Lanes {
			if lane.Transport == "tcp" && lane.Role == "lane" {
				lanes++
			}
		}
		if lanes == most {
			return true
		}
		c, err := p.dial()
		must(t, err)
		held = append(held, c)
		_, err = c.Write([]byte{0})
		must(t, err)
		_, err = io.ReadFull(c, make([]byte, 1))
		must(t, err)
		return false
	})
	for _, c := range held {
		_ = c.Close()
	}
}

// stacks are all goroutines, those with the same stack together.
func stacks() string {
	var out bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&out, 1)
	return out.String()
}

// repeat calls f so many times, some at once.
func repeat(times, atOnce int, f func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range times {
		g.Go(func() error {
			if err := f(i); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// echo sends back what comes, with its end.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

// ask sends a message to an endpoint that echoes.
func (p *path) ask(message []byte) error {
	c, err := net.DialTCP("tcp4", nil, net.TCPAddrFromAddrPort(p.service))
	if err != nil {
		return err
	}
	defer c.Close()
	bound(c)
	if _, err := c.Write(message); err != nil {
		return fmt.Errorf("%w%s", err, p.story(c))
	}
	if err := c.CloseWrite(); err != nil {
		return fmt.Errorf("%w%s", err, p.story(c))
	}
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, message) {
		err = fmt.Errorf("%d bytes came back of %d, or other ones", len(got), len(message))
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, p.story(c))
	}
	return nil
}

// TestPathUnreadStreams: unread streams hold up nothing but themselves.
func TestPathUnreadStreams(t *testing.T) {
	t.Parallel()
	const unread = 8
	forTransports(t, func(t *testing.T, transport string) {
		var stuck, flowing []string // callers
		p := steady(t, spec{transport: transport}, func(p *path) (err error) {
			stuck, flowing, err = p.flowBeside(unread)
			return err
		})
		p.a.stopNode() // ends those that are stuck
		await(t, "all are logged", func() bool { return p.a.access.Len() == len(stuck)+len(flowing) })
		held, used := p.lanesOf(stuck), p.lanesOf(flowing)
		for lane := range held {
			if !used[lane] {
				delete(held, lane)
			}
		}
		if len(held) == 0 {
			t.Errorf("nothing flowed on a lane with an unread stream: flowing on %v", slices.Sorted(maps.Keys(used)))
		}
	})
}

// flowBeside fills so many connections without a reader, and carries much over others. It returns the callers of both.
func (p *path) flowBeside(unread int) (stuck, flowing []string, err error) {
	var g errgroup.Group
	for i := range unread {
		client, server, err := p.open()
		if err != nil {
			return nil, nil, errors.Join(err, g.Wait())
		}
		stuck = append(stuck, client.LocalAddr().String())
		writer := client
		if i%2 == 1 {
			writer = server
		}
		g.Go(func() error { return fill(writer) })
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	message := string(bytes.Repeat([]byte("0123456789abcdef"), 32<<10))
	for range 16 {
		client, server, err := p.open()
		if err != nil {
			return nil, nil, errors.Join(err, g.Wait())
		}
		flowing = append(flowing, client.LocalAddr().String())
		for _, way := range [][2]*net.TCPConn{{client, server}, {server, client}} {
			g.Go(func() error {
				_, err := io.WriteString(way[0], message)
				return errors.Join(err, way[0].CloseWrite())
			})
			g.Go(func() error {
				got, err := io.ReadAll(way[1])
				if err == nil && string(got) != message {
					err = fmt.Errorf("%d bytes of %d arrived, or other ones", len(got), len(message))
				}
				return err
			})
		}
	}
	return stuck, flowing, g.Wait()
}

// lanesOf are the lanes that carried these callers' connections.
func (p *path) lanesOf(callers []string) map[string]bool {
	lanes := make(map[string]bool)
	for _, line := range p.a.access.All() {
		if m := line.ContextMap(); slices.Contains(callers, m["caller"].(string)) {
			lanes[m["lane"].(string)] = true
		}
	}
	return lanes
}
