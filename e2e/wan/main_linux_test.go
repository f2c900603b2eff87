package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/e2e/wan/link"
	"github.com/eastway/eastway/e2e/wan/netns"
	"github.com/eastway/eastway/internal/need"
)

// childVariable makes the test program the command itself.
const childVariable = "EASTWAY_TEST_WAN"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	main()
}

func needRoot(t *testing.T) {
	t.Helper()
	need.Support(t, link.Supported())
}

// session is a running command.
type session struct {
	t     *testing.T
	in    io.WriteCloser
	out   *bufio.Scanner
	a, b  string // its namespaces
	ended chan error
}

// begin reads what the command says first.
func (s *session) begin() {
	s.t.Helper()
	for s.out.Scan() {
		switch name, rest, _ := strings.Cut(s.out.Text(), " "); name {
		case "a":
			s.a, _, _ = strings.Cut(rest, " ")
		case "b":
			s.b, _, _ = strings.Cut(rest, " ")
		case "ready":
			return
		}
	}
	s.t.Fatal("the command did not get ready")
}

// ask sends a line and returns the answer.
func (s *session) ask(line string) string {
	s.t.Helper()
	fmt.Fprintln(s.in, line)
	var answer strings.Builder
	for s.out.Scan() {
		fmt.Fprintln(&answer, s.out.Text())
		if text := s.out.Text(); text == "ok" || strings.HasPrefix(text, "error:") {
			return answer.String()
		}
	}
	s.t.Fatalf("no answer to %q", line)
	return ""
}

func exists(name string) bool {
	_, err := os.Stat("/run/netns/" + name)
	return !errors.Is(err, os.ErrNotExist)
}

// inProcess runs the command in this process.
func inProcess(ctx context.Context, t *testing.T, args ...string) *session {
	t.Helper()
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	s := &session{t: t, in: in, out: bufio.NewScanner(out), ended: make(chan error, 1)}
	go func() {
		s.ended <- run(ctx, args, stdin, stdout, io.Discard)
		stdout.Close()
	}()
	t.Cleanup(func() { in.Close() })
	s.begin()
	return s
}

// end checks that the command ended well and left nothing.
func (s *session) end() (rest string) {
	s.t.Helper()
	var all strings.Builder
	for s.out.Scan() {
		fmt.Fprintln(&all, s.out.Text())
	}
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	if exists(s.a) || exists(s.b) {
		s.t.Errorf("%s or %s was left behind", s.a, s.b)
	}
	return all.String()
}

func TestCommand(t *testing.T) {
	needRoot(t)
	s := inProcess(t.Context(), t, "delay=20ms", "rate=10mbit")
	if s.a == s.b || !exists(s.a) || !exists(s.b) {
		t.Errorf("namespaces %q and %q", s.a, s.b)
	}
	for _, step := range []struct{ line, want string }{
		{"show", "a-b delay=20ms jitter=0s loss=0% rate=10mbit queue=default silent=off\n"},
		{"set b-a delay=30ms jitter=1ms", "ok\n"},
		{"show", "b-a delay=30ms jitter=1ms loss=0% rate=10mbit"},
		{"set both jitter=25ms", "error: link: Settings.Jitter"}, // fits one direction only
		{"show", "b-a delay=30ms jitter=1ms"},
		{"nonsense", "error: no command"},
		{"\nset both silent=on", "ok\n"},
		{"show", "a-b   missed before they entered: 0 packets\nb-a delay=30ms jitter=1ms loss=0% rate=10mbit queue=default silent=on\n"},
		{"quit", "ok\n"},
	} {
		if got := s.ask(step.line); !strings.Contains(got, step.want) {
			t.Errorf("%q was answered by\n%swant\n%s", step.line, got, step.want)
		}
	}
	if rest := s.end(); !strings.Contains(rest, "b-a   entered") {
		t.Errorf("no counters at the end: %q", rest)
	}
}

// Without input it goes on until it is told to stop.
func TestCommandWithoutInput(t *testing.T) {
	needRoot(t)
	ctx, stop := context.WithCancel(t.Context())
	s := inProcess(ctx, t)
	io.WriteString(s.in, strings.Repeat("x", maxLine))
	if !s.out.Scan() || !strings.Contains(s.out.Text(), "too long") {
		t.Errorf("a line that is too long was answered by %q", s.out.Text())
	}
	select {
	case err := <-s.ended:
		t.Errorf("ended with its input: %v", err)
	default:
	}
	stop()
	s.end()
}

// It joins what is there, and leaves it there.
func TestCommandJoins(t *testing.T) {
	needRoot(t)
	ns, err := netns.Create("joined")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	s := inProcess(t.Context(), t, "-a", ns.Path(), "-address-a", "10.0.0.1/30", "-address-b", "10.0.0.2/30", "-route-b", "10.1.0.0/16")
	s.a = "" // not its own
	if err := ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/conf/wan0/forwarding", []byte("1"), 0) }); err != nil {
		t.Errorf("no device in the namespace that was given: %v", err)
	}
	s.ask("quit")
	s.a = s.b
	s.end()
	if !exists(ns.Name()) {
		t.Error("the namespace that was given is gone")
	}

	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := run(ctx, []string{"-a", "no-such-namespace"}, strings.NewReader(""), io.Discard, io.Discard); err == nil || ctx.Err() != nil {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// A signal cleans up; what a killed one leaves is cleaned up by the next.
func TestCommandKilled(t *testing.T) {
	needRoot(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		process := exec.CommandContext(t.Context(), os.Args[0], "delay=1ms")
		process.Env = append(os.Environ(), childVariable+"=1")
		process.Stderr = os.Stderr
		in, err := process.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		s := &session{t: t, in: in, out: bufio.NewScanner(out), ended: make(chan error, 1)}
		s.begin()
		process.Process.Signal(sig)
		rest, _ := io.ReadAll(out)
		err = process.Wait()
		if sig == syscall.SIGTERM {
			if err != nil || !strings.Contains(string(rest), "on the way") {
				t.Errorf("%v: %v, it said %q", sig, err, rest)
			}
		} else {
			next := inProcess(t.Context(), t)
			next.ask("quit")
			next.end()
		}
		if exists(s.a) || exists(s.b) {
			t.Errorf("after %v there still is %s or %s", sig, s.a, s.b)
		}
	}
}
