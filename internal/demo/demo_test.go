package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// output is where the demo prints; it signals when a text has come.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	want string
	seen chan struct{}
}

func newOutput(want string) *output { return &output{want: want, seen: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if o.want != "" && strings.Contains(o.text.String(), o.want) {
		close(o.seen)
		o.want = ""
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// options run the demo with this test binary in place of eastway.
func options(t *testing.T, kind string, out *output) Options {
	t.Helper()
	t.Setenv(childVariable, kind)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // children of a race build end at once
	t.Setenv("TMPDIR", t.TempDir())         // so that what is left behind can be seen
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Executable: exe, Out: out, Rate: 20, Pace: 0.1}
}

// nothingLeft finds no file in TMPDIR and no child of this process.
func nothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("left behind: %s", e.Name())
	}
	if children := childrenOf(t, os.Getpid()); len(children) > 0 {
		t.Errorf("processes left behind: %v", children)
	}
}

// childrenOf lists the command lines of a process's children, zombies included.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	var children []string
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (name) state ppid …
		_, rest, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			children = append(children, string(data))
		}
	}
	return children
}

func TestScriptWithRelay(t *testing.T) {
	out := newOutput("")
	o := options(t, childGood, out)
	o.JSON = filepath.Join(t.TempDir(), "demo.json")
	if err := Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	nothingLeft(t)
	data, err := os.ReadFile(o.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	checkReport(t, r)
	if !strings.Contains(out.String(), "OK: ") {
		t.Errorf("no verdict in\n%s", out)
	}
}

// checkReport holds for every good run, whatever the proxy.
func checkReport(t *testing.T, r Report) {
	t.Helper()
	if !r.OK || len(r.Phases) != 10 {
		t.Fatalf("not a good run: %+v", r)
	}
	for _, p := range r.Phases {
		if p.Sent == 0 {
			t.Errorf("%s: nothing sent", p.Name)
		}
		if p.Failed != p.Expected || p.ExecutedTwice != 0 {
			t.Errorf("%s: %+v", p.Name, p)
		}
		switch p.Name {
		case "healthy", "one mockb broken": // others may end with requests in flight when the next one kills
			if p.Failed != 0 {
				t.Errorf("%s: %d failed", p.Name, p.Failed)
			}
		case "region's mockb broken":
			if p.Failed != 0 || p.CrossedCalls*100 < p.AllCalls*25 {
				t.Errorf("%s: %d failed, %d of %d calls crossed", p.Name, p.Failed, p.CrossedCalls, p.AllCalls)
			}
		}
		if p.FirstElsewhere == nil && p.Name != "healthy" && p.Name != "one proxy killed" && p.Name != "cluster killed" {
			t.Errorf("%s: no time to the first answer elsewhere", p.Name)
		}
	}
}

func TestUnexpectedFailuresAreFound(t *testing.T) {
	out := newOutput("MISSED")
	o := options(t, childBad, out)
	o.JSON = filepath.Join(t.TempDir(), "demo.json")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	played := make(chan error, 1)
	go func() { played <- Run(ctx, o) }()
	select {
	case err := <-played:
		t.Fatalf("ended early: %v\n%s", err, out)
	case <-out.seen:
	}
	if !strings.Contains(out.String(), `MISSED  phase "one mockb broken"`) {
		t.Errorf("a proxy without failover went unnoticed\n%s", out)
	}
	cancel()
	if err := <-played; !errors.Is(err, ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
	nothingLeft(t)
}

func TestInterrupt(t *testing.T) {
	for _, at := range []string{"peer export", "starting 20 processes", "== one mockb broken", "the peer's proxies are stopped"} {
		t.Run(at, func(t *testing.T) {
			out := newOutput(at)
			o := options(t, childGood, out)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-out.seen; cancel() }()
			if err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
				t.Errorf("got %v\n%s", err, out)
			}
			nothingLeft(t)
		})
	}
}

func TestProcessThatDiesIsShown(t *testing.T) {
	out := newOutput("")
	err := Run(t.Context(), options(t, childBroken, out))
	if err == nil || !strings.Contains(err.Error(), " ended by itself") ||
		!strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t)
}

func TestKeep(t *testing.T) {
	out := newOutput("Ctrl-C here ends")
	o := options(t, childGood, out)
	o.Keep = true
	o.Dir = filepath.Join(t.TempDir(), "world")
	restart := make(chan struct{})
	o.Restart = restart
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	select {
	case <-out.seen:
	case err := <-ended:
		t.Fatalf("%v\n%s", err, out)
	}
	// What a user may paste, and what it does: of both proxies of a zone only the last one leads its callers elsewhere.
	routing := strings.TrimPrefix(commandAfter(t, out.String(), "cat "), "cat ")
	for _, step := range []struct{ kill, route string }{
		{commandAfter(t, out.String(), "kill -9 $(cat "+filepath.Join(o.Dir, "run", "cn-hangzhou-h-proxy-1")), ".1.31:8000\n"},
		{commandAfter(t, out.String(), "kill -9 $(cat "+filepath.Join(o.Dir, "run", "cn-hangzhou-h-proxy-2")), ".2.21:8000 "},
	} {
		runShell(t, step.kill)
		waitUntil(t, func() bool {
			text, err := os.ReadFile(routing)
			first, _, _ := strings.Cut(string(text), "\n")
			return err == nil && strings.Contains(first+"\n", step.route)
		})
	}
	runShell(t, commandAfter(t, out.String(), "kill -9 "))
	waitFor(t, out, "mockb was killed")
	restart <- struct{}{}
	waitFor(t, out, "  ready\n")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	nothingLeft(t)
	if _, err := os.Stat(filepath.Join(o.Dir, "logs")); err != nil {
		t.Errorf("--dir was not left: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "key.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"--rate":       {Rate: 0.5},
		"--pace":       {Pace: 100},
		"--keep":       {Keep: true, JSON: "x"},
		"--json":       {JSON: filepath.Join(full, "none", "x.json")},
		"is not empty": {Dir: full},
	} {
		o.Executable, o.Out = "/bin/false", newOutput("")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
		cancel()
	}
}

// commandAfter is the first line that begins so, without indentation.
func commandAfter(t *testing.T, text, begins string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, begins) {
			return line
		}
	}
	t.Fatalf("no line %q in\n%s", begins, text)
	return ""
}

func runShell(t *testing.T, command string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}

func waitFor(t *testing.T, out *output, text string) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(out.String(), text) {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("no %q in\n%s", text, out)
		}
	}
}
