package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long anything may take on a busy machine.
	patience = 5 * time.Minute
	// glance is the time between two looks at what does not signal its changes.
	glance = 20 * time.Millisecond
	// logTail is how much of a process' log is shown when a test has failed, in bytes.
	logTail = 4 << 10
)

// program is the path of an installed program; pkg is the Debian package that has it.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name) // not in every user's PATH
	}
	if err != nil {
		t.Fatalf("%s is not installed: apt-get install %s", name, pkg)
	}
	return path
}

// process is a server that runs until the test ends.
type process struct {
	name, log string
	pid       int
	// stop is the signal that ends it.
	stop  syscall.Signal
	ended chan struct{}
}

// start runs a program until the test ends.
func start(t testing.TB, dir, name, path string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, dir, name, path, args...)
}

// startAs does it as another user; nil: as this one.
func startAs(t testing.TB, as *syscall.Credential, dir, name, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), stop: syscall.SIGTERM, ended: make(chan struct{})}
	log, err := os.Create(p.log)
	must(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: as}
	if as != nil {
		cmd.Dir = "/"
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its ProcessState has the result
		log.Close()
	}()
	t.Cleanup(func() {
		early := !p.running()
		cmd.Process.Signal(p.stop)
		select {
		case <-p.ended:
		case <-time.After(patience):
			t.Errorf("%s did not end within %s of %s", name, patience, p.stop)
			cmd.Process.Kill()
			<-p.ended
		}
		if early {
			t.Errorf("%s ended by itself: %s", name, cmd.ProcessState)
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, p.tail())
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// output runs a program to its end, which has to be a good one.
func output(t testing.TB, input, path string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(path), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// eventually waits until check returns nil.
func eventually(t testing.TB, what string, p *process, check func() error) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			t.Fatalf("wait until %s: %s has ended:\n%s", what, p.name, p.tail())
		case <-late:
			t.Fatalf("not within %s: %s: %v", patience, what, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
