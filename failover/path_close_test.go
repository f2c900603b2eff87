package failover_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

// TestPathHalfClose: either side ends its direction first and goes on receiving.
func TestPathHalfClose(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		newPath(t, spec{on: g, transport: over}).mustHalfClose(t)
	})
}

// TestPathHalfCloseOnSockets: the kernel's FINs.
func TestPathHalfCloseOnSockets(t *testing.T) {
	t.Parallel()
	onSockets(t, func(t *testing.T, over string) {
		newPath(t, spec{on: machine{}, transport: over}).mustHalfClose(t)
	})
}

func (p *path) mustHalfClose(t *testing.T) {
	t.Helper()
	long := strings.Repeat("0123456789abcdef", 16<<10)
	for i := range 20 {
		client, server := p.connect()
		first, second := client, server
		if i%2 == 1 {
			first, second = server, client
		}
		halfClose(t, first, second, "the last words")
		// The other direction goes on: what was not sent before the end, and much of it.
		must(t, transfer(second, first, "go on"))
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(second, long)
			sent <- err
			_ = second.CloseWrite()
		}()
		got, err := io.ReadAll(first)
		if err != nil || string(got) != long {
			t.Fatalf("connection %d: %d bytes of %d, %v", i, len(got), len(long), err)
		}
		must(t, <-sent)
		_, _ = client.Close(), server.Close()
	}
	p.awaitIdle(t)
}

// halfClose ends one direction after some text and checks that just these arrive, and a clean end.
func halfClose(t *testing.T, from, to conn, text string) {
	t.Helper()
	_, err := io.WriteString(from, text)
	must(t, err)
	must(t, from.CloseWrite())
	if got, err := io.ReadAll(to); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q and a clean end", got, err, text)
	}
}

// awaitIdle waits until nothing is open on either side.
func (p *path) awaitIdle(t *testing.T) {
	t.Helper()
	await(t, "nothing is open any more", func() bool {
		return p.a.streams() == 0 && p.b.streams() == 0 && p.a.proxy.Active() == 0 && p.b.proxy.Active() == 0
	})
}

// TestPathServerFirst: the server greets, and the client sends nothing before it was greeted.
func TestPathServerFirst(t *testing.T) {
	t.Parallel()
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over})
		for range 20 {
			client, server := p.connect()
			must(t, transfer(server, client, "220 mail.example.com ESMTP\r\n"))
			must(t, transfer(client, server, "EHLO there\r\n"))
			must(t, transfer(server, client, "250 hello there\r\n"))
			must(t, transfer(client, server, "QUIT\r\n"))
			halfClose(t, server, client, "221 bye\r\n")
			halfClose(t, client, server, "")
		}
		p.awaitIdle(t)
	})
}

// TestPathWriterStops: a writer that sends nothing for longer than any of the proxies' and lanes' short timers is not cut
// off, whether both directions are open or only its own.
func TestPathWriterStops(t *testing.T) {
	t.Parallel()
	const stop = 2 * time.Minute
	inBubbles(t, simTransports, func(t *testing.T, g *simulated, over string) {
		p := newPath(t, spec{on: g, transport: over})
		type pair struct{ reader, writer conn }
		var pairs []pair
		for i := range 4 {
			client, server := p.connect()
			pr := pair{client, server}
			if i%2 == 1 {
				pr = pair{server, client}
			}
			must(t, transfer(pr.writer, pr.reader, "so far"))
			if i/2 == 1 {
				halfClose(t, pr.reader, pr.writer, "I only listen")
			}
			pairs = append(pairs, pr)
		}
		bubble.Pass(stop)
		for _, pr := range pairs {
			must(t, transfer(pr.writer, pr.reader, "where was I"))
			halfClose(t, pr.writer, pr.reader, "done")
		}
	})
}
