package failover_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestPathHalfClose: either side ends its direction first and goes on receiving.
func TestPathHalfClose(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPath(t, spec{transport: transport})
		long := strings.Repeat("0123456789abcdef", 16<<10)
		for range 20 {
			for _, clientFirst := range []bool{true, false} {
				client, server := p.connect()
				first, second := client, server
				if !clientFirst {
					first, second = server, client
				}
				halfClose(t, first, second, "the last words")
				// The other direction goes on: what was not said before the end, and much of it.
				must(t, transfer(second, first, "go on"))
				sent := make(chan error, 1)
				go func() {
					_, err := io.WriteString(second, long)
					sent <- err
					_ = second.CloseWrite()
				}()
				got, err := io.ReadAll(first)
				if err != nil || string(got) != long {
					t.Fatalf("client first %v: %d bytes of %d, %v", clientFirst, len(got), len(long), err)
				}
				must(t, <-sent)
				_, _ = client.Close(), server.Close()
			}
		}
		p.awaitIdle(t)
	})
}

// halfClose ends one direction after some words and checks that just these arrive, and a clean end.
func halfClose(t *testing.T, from, to *net.TCPConn, words string) {
	t.Helper()
	_, err := io.WriteString(from, words)
	must(t, err)
	must(t, from.CloseWrite())
	if got, err := io.ReadAll(to); err != nil || string(got) != words {
		t.Fatalf("read %q, %v; want %q and a clean end", got, err, words)
	}
}

// awaitIdle waits until nothing is open on either side.
func (p *path) awaitIdle(t *testing.T) {
	t.Helper()
	await(t, "nothing is open any more", func() bool {
		return p.a.streams() == 0 && p.b.streams() == 0 && p.a.proxy.Active() == 0 && p.b.proxy.Active() == 0
	})
}

// TestPathServerFirst: the server greets, and the client says nothing before it was greeted.
func TestPathServerFirst(t *testing.T) {
	t.Parallel()
	forTransports(t, func(t *testing.T, transport string) {
		p := newPath(t, spec{transport: transport})
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

// TestPathWriterStops: a writer that says nothing for longer than any of the proxies' and lanes' short timers is not cut
// off, whether both directions are open or only its own.
func TestPathWriterStops(t *testing.T) {
	t.Parallel()
	const stop = 2 * time.Second
	forTransports(t, func(t *testing.T, transport string) {
		p := newPath(t, spec{transport: transport})
		type pair struct{ reader, writer *net.TCPConn }
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
		<-time.After(stop)
		for _, pr := range pairs {
			must(t, transfer(pr.writer, pr.reader, "where was I"))
			halfClose(t, pr.writer, pr.reader, "done")
		}
	})
}
