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
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/bubble"
)

// TestPathGigabyte: much data in both directions at once arrives as it was sent.
func TestPathGigabyte(t *testing.T) {
	t.Parallel()
	size := int64(1 << 30)
	if raceDetector || testing.Short() {
		size = 8 << 20 // each way
	}
	onSockets(t, func(t *testing.T, over string) {
		p := newPath(t, spec{on: machine{}, transport: over})
		client, server := p.connect()
		var g errgroup.Group
		var sums [][2]hash.Hash // sent and received, each way
		for i, way := range [][2]conn{{client, server}, {server, client}} {
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
	t.Parallel()
	const atOnce = 32
	connections := 1000
	if raceDetector {
		connections = 200
	}
	message := bytes.Repeat([]byte("0123456789"), 10)
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over, b: []discovery.Endpoint{ready(listen(t, g, echo), near)}})
		ask := func(int) error { return p.ask(message) }
		p.widen(t, map[string]int{"tcp": 8, "mem": 4, "both": 8}[over])
		must(t, repeat(300, atOnce, ask))
		p.awaitIdle(t)
		before, were := bubbleGoroutines()
		must(t, repeat(connections, atOnce, ask))
		p.awaitIdle(t)
		var are string
		more := func() bool {
			var now int
			now, are = bubbleGoroutines()
			return now > before
		}
		for limit := time.Now().Add(5 * time.Second); more(); bubble.Pass(100 * time.Millisecond) {
			if time.Now().After(limit) { // a search for other replicas that was under way has ended by then
				t.Fatalf("more goroutines than before: %s\n\nbefore: %s", are, were)
			}
		}
	})
}

// widen holds connections until a has as many lanes of its first transport as it ever has (they stay for a minute without a
// stream): from then on only connections add goroutines.
func (p *path) widen(t *testing.T, most int) {
	t.Helper()
	var held []conn
	await(t, "all lanes", func() bool {
		c, err := p.dial()
		must(t, err)
		must(t, transfer(c, c, "hold"))
		held = append(held, c)
		return p.a.lanes("b", p.a.over[0]) == most
	})
	for _, c := range held {
		_ = c.Close()
	}
}

// bubbleGoroutines are those of this test's bubble, once all of them wait.
func bubbleGoroutines() (n int, stacks string) {
	synctest.Wait()
	own := make([]byte, 1<<10)
	own = own[:runtime.Stack(own, false)]
	_, number, _ := strings.Cut(string(own[:bytes.IndexByte(own, ':')]), "synctest bubble ")
	all := make([]byte, 16<<20)
	for stack := range strings.SplitSeq(string(all[:runtime.Stack(all, true)]), "\n\n") {
		if head, _, _ := strings.Cut(stack, ":"); strings.Contains(head, "synctest bubble "+number) {
			n++
			stacks += "\n\n" + stack
		}
	}
	return n, stacks
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
func echo(c conn) {
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

// ask sends a message to an endpoint that echoes.
func (p *path) ask(message []byte) error {
	c, err := p.dial()
	if err != nil {
		return err
	}
	defer c.Close()
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
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over})
		stuck, flowing, err := p.flowBeside(unread)
		must(t, err)
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
		for _, way := range [][2]conn{{client, server}, {server, client}} {
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
