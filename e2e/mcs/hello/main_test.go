package main

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// freePort of TCP and UDP on 127.0.0.1, most probably.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

func TestServeAndCall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	at := freePort(t)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, at, "one two three") }()
	for _, flags := range [][]string{{"-n", "2"}, {"-n", "2", "-udp"}} {
		var out bytes.Buffer
		for !strings.Contains(out.String(), "three") { // until it listens
			out.Reset()
			if err := run(ctx, append(append([]string{"call"}, flags...), at.String()), &out); err != nil {
				t.Fatal(err)
			}
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 2 || lines[1] != "one two three" {
			t.Errorf("call %v: %q", flags, lines)
		}
	}
	held, heldOut := make(chan error, 1), new(output)
	go func() { held <- run(t.Context(), []string{"hold", at.String()}, heldOut) }()
	for heldOut.count() == 0 { // until it is answered
		runtime.Gosched()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := <-held; err != nil || heldOut.count() != 2 || !strings.HasPrefix(heldOut.String(), "one two three\n") ||
		!strings.Contains(heldOut.String(), " error: EOF\n") {
		t.Errorf("held: %q, %v", heldOut, err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"call", at.String()}, &out); err != nil || !strings.HasPrefix(out.String(), "error: ") {
		t.Errorf("a call without an answer: %q, %v", &out, err)
	}
}

// output is written by one goroutine and read by another.
type output struct {
	mu  sync.Mutex
	out strings.Builder
}

func (l *output) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *output) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func (l *output) count() int { return strings.Count(l.String(), "\n") }

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"A", "SRV", "X"} {
		if got := lookup(t.Context(), kind, "eastway.invalid"); len(got) != 1 || !strings.HasPrefix(got[0], "error: ") {
			t.Errorf("%s of a name that does not exist: %q", kind, got)
		}
	}
	if got := lookup(t.Context(), "A", "127.0.0.1"); len(got) != 1 || !strings.HasPrefix(got[0], "error: ") {
		t.Errorf("an address is no name: %q", got)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"call"}, {"serve", "x"}, {"dance"}} {
		if err := run(t.Context(), args, nil); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
