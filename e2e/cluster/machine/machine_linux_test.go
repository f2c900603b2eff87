package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/internal/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start a machine that goes with the test.
func start(t *testing.T) *Machine {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin")+"/", "./init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	m, err := Start(t.Context(), Config{
		Dir: filepath.Join(dir, "m"), Hostname: "test-machine", Init: filepath.Join(dir, "bin", "init"), Programs: filepath.Join(dir, "bin"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Kill(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return m
}

// run a shell script in the machine to its end, and return what it printed.
func run(t *testing.T, m *Machine, name, script string) (printed, ended string) {
	t.Helper()
	if err := m.Run(t.Context(), Daemon{Name: name, Args: []string{"sh", "-c", script}, Env: []string{"GREETING=hello"}}); err != nil {
		t.Fatal(err)
	}
	ended, err := m.Wait(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(m.Log(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)), ended
}

// A machine has its own name, processes, network and folders, and the host's other files.
func TestMachine(t *testing.T) {
	t.Parallel()
	m := start(t)
	const mark = "/run/eastway-machine-test"
	for name, want := range map[string]string{
		"hostname":             "test-machine",
		"echo $GREETING $PATH": "hello " + Path,
		"ls /proc | grep -c '^[0-9]*$' | xargs test 6 -gt && echo few": "few",
		"touch " + mark + "; ls /run | tr '\\n' ' '":                   "eastway-machine-test machine",
		"ls " + Etc + "/bin":                                                "init",
		"cat /proc/net/dev | grep -c :":                                     "1",
		"touch /var/lib/here; ls /var/lib":                                  "here",
		"test -x /usr/bin/env && echo yes":                                  "yes",
		"grep -c . /proc/self/mountinfo | xargs test 0 -lt && echo mounted": "mounted",
	} {
		if printed, ended := run(t, m, "test", name); !strings.HasSuffix(printed, want) || ended != "exit status 0" {
			t.Errorf("%s: %q, %s; want %q", name, printed, ended, want)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Errorf("%s is the computer's", mark)
	}
	for _, path := range []string{filepath.Join(m.Root(), mark), filepath.Join(m.Dir(), LibFolder, "here")} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("not seen from outside: %v", err)
		}
	}
	network, err := m.Network()
	if err != nil {
		t.Fatal(err)
	}
	if err := network.Close(); err != nil {
		t.Error(err)
	}
}

func TestDaemons(t *testing.T) {
	t.Parallel()
	m := start(t)
	if _, ended := run(t, m, "failed", "exit 3"); ended != "exit status 3" {
		t.Errorf("ended %q", ended)
	}
	forever := Daemon{Name: "forever", Args: []string{"sleep", "infinity"}}
	if err := m.Run(t.Context(), forever); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context(), forever); err == nil {
		t.Error("started twice")
	}
	daemons, err := m.Daemons(t.Context())
	if err != nil || len(daemons) != 2 {
		t.Fatalf("daemons %+v, %v", daemons, err)
	}
	if failed, runs := daemons[0], daemons[1]; failed.Running || failed.Ended != "exit status 3" || !runs.Running || runs.Name != "forever" {
		t.Errorf("daemons %+v", daemons)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := m.Wait(short, "forever"); err == nil {
		t.Error("it did not end, and was not waited for")
	}
	if err := m.Signal(t.Context(), "forever", unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if ended, err := m.Wait(t.Context(), "forever"); err != nil || ended != "signal: killed" {
		t.Errorf("ended %q, %v", ended, err)
	}
	if err := m.Signal(t.Context(), "forever", unix.SIGKILL); err != nil {
		t.Errorf("a signal to one that has ended: %v", err)
	}
	if err := m.Run(t.Context(), forever); err != nil {
		t.Errorf("start it again: %v", err)
	}
	for _, d := range []Daemon{{Name: "a/b", Args: []string{"true"}}, {Name: "x"}, {Name: "x", Args: []string{"no-such-program"}}} {
		if err := m.Run(t.Context(), d); err == nil {
			t.Errorf("%+v was started", d)
		}
	}
	if _, err := m.Wait(t.Context(), "unknown"); err == nil {
		t.Error("a daemon that is not there ended")
	}
}

// Nothing outlives the machine, not even what hides; and it does not go by itself.
func TestKill(t *testing.T) {
	t.Parallel()
	m := start(t)
	// A process that has no parent left in the machine.
	printed, _ := run(t, m, "hidden", "setsid sleep 31557600 >/dev/null 2>&1 & echo $!")
	if _, err := strconv.Atoi(printed); err != nil {
		t.Fatalf("it said %q", printed)
	}
	if n := inNamespaceOf(t, m); n < 2 {
		t.Errorf("only %d processes", n)
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		if err := unix.Kill(m.PID(), signal); err != nil {
			t.Error(err)
		}
	}
	if found := find(t, m); len(found) != 1 || found[0].PID() != m.PID() {
		t.Errorf("found %v", found)
	}
	namespace := namespaceOf(t, m)
	other := find(t, m)[0] // as another process sees it
	if err := other.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Kill(t.Context()); err != nil {
		t.Errorf("once more: %v", err)
	}
	if n := count(t, namespace); n > 0 {
		t.Errorf("%d processes outlive it", n)
	}
	if found := find(t, m); len(found) > 0 {
		t.Errorf("still found: %v", found)
	}
	// A number that means another process by now is left alone.
	foreign := &Machine{dir: m.Dir(), pid: os.Getpid()}
	if err := foreign.Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

func find(t *testing.T, m *Machine) []*Machine {
	t.Helper()
	found, err := Find(filepath.Dir(m.Dir()))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func namespaceOf(t *testing.T, m *Machine) string {
	t.Helper()
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return namespace
}

func inNamespaceOf(t *testing.T, m *Machine) int { return count(t, namespaceOf(t, m)) }

// count the processes in a PID namespace.
func count(t *testing.T, namespace string) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range all {
		if one, err := os.Readlink(link); err == nil && one == namespace {
			n++
		}
	}
	return n
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := Config{Dir: "/d", Hostname: "h", Init: "/i", Programs: "/p"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*Config){
		"Config.Dir":         func(c *Config) { c.Dir = "d" },
		"Config.Dir is \"/d": func(c *Config) { c.Dir = "/" + strings.Repeat("d", 100) },
		"Config.Hostname":    func(c *Config) { c.Hostname = "" },
		"Config.Init":        func(c *Config) { c.Init = "init" },
		"Config.Programs":    func(c *Config) { c.Programs = "" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: %v, want it to name %s", c, err, field)
		}
	}
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if got := LogTail(path); !strings.Contains(got, "no log") {
		t.Errorf("no file: %q", got)
	}
	for _, lines := range []int{0, 1, tailLines, 10 * tailLines, 10000} {
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, "line %d\n", i)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		got := LogTail(path)
		last := fmt.Sprintf("line %d", lines-1)
		if lines > 0 && !strings.HasSuffix(got, last) || strings.Count(got, "line ") > tailLines || !strings.Contains(got, path) {
			t.Errorf("of %d lines: %q", lines, got)
		}
	}
}
