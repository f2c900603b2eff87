package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// logTail is how much of a process's log is shown when it ended by itself, in bytes.
const logTail = 2 << 10

// supervisor starts processes and leaves none behind: each is in a process group
// of its own (so that Ctrl-C on the terminal reaches only the demo, which then
// ends them in order), dies with the demo, and is reaped.
type supervisor struct {
	exe     string
	logDir  string
	runDir  string // NAME.pid
	died    func(error)
	threads chan func()
	end     chan struct{}
	owned   sync.WaitGroup
}

// newSupervisor's died is called, once per process, for a process that ended by
// itself; it must not block. close ends the supervisor.
func newSupervisor(exe, logDir, runDir string, died func(error)) *supervisor {
	s := &supervisor{
		exe: exe, logDir: logDir, runDir: runDir, died: died,
		threads: make(chan func()), end: make(chan struct{}),
	}
	s.owned.Go(s.spawner)
	return s
}

// spawner is the thread that starts every process. The kernel sends the
// parent-death signal when the thread that started a child ends, not the
// process, so this one lives as long as the supervisor.
func (s *supervisor) spawner() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case f := <-s.threads:
			f()
		case <-s.end:
			return
		}
	}
}

// onThread runs f on the spawner's thread.
func (s *supervisor) onThread(f func() error) error {
	done := make(chan error, 1)
	select {
	case s.threads <- func() { done <- f() }:
		return <-done
	case <-s.end:
		return errors.New("the demo is ending")
	}
}

// close returns when every process is reaped; the context that they were started with
// has ended, which kills them.
func (s *supervisor) close() {
	close(s.end)
	s.owned.Wait()
}

// process is one child.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when reaped

	mu     sync.Mutex
	killed bool // by us: its end is no surprise
}

// start runs the binary with args until ctx ends or it is killed. Its output
// goes to the log of its name, after what is there from an earlier life.
func (s *supervisor) start(ctx context.Context, name string, args []string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(s.logDir, name+".log"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	cmd := exec.CommandContext(ctx, s.exe, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	err = s.onThread(cmd.Start)
	if closeErr := log.Close(); err == nil && closeErr != nil {
		err = errors.Join(closeErr, cmd.Process.Kill(), cmd.Wait())
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	pid := filepath.Join(s.runDir, name+".pid")
	if err := os.WriteFile(pid, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), fileMode); err != nil {
		return nil, fmt.Errorf("write the process ID of %s: %w", name, errors.Join(err, cmd.Process.Kill(), cmd.Wait()))
	}
	s.owned.Go(func() {
		err := cmd.Wait()
		_ = os.Remove(pid) // the number may soon be another process's; that the file is gone is as good
		close(p.done)
		if ctx.Err() == nil && !p.wasKilled() {
			s.died(s.exitError(name, err))
		}
	})
	return p, nil
}

// exitError is how a process ended, with the end of its log.
func (s *supervisor) exitError(name string, err error) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return fmt.Errorf("%s was killed", name) // from outside: its log has nothing about it
		}
	}
	path := filepath.Join(s.logDir, name+".log")
	data, readErr := os.ReadFile(path)
	if readErr != nil {
		return fmt.Errorf("%s ended by itself: %w", name, err)
	}
	tail := strings.TrimSpace(string(data[max(0, len(data)-logTail):]))
	if tail == "" {
		tail = "(empty)"
	}
	return fmt.Errorf("%s ended by itself: %w; the end of %s:\n%s", name, err, path, tail)
}

// kill ends the process with SIGKILL and returns when it is reaped.
func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	// A process that is already gone is what is wanted.
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) wasKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.name, err)
	}
	return nil
}

// running is false once the process is reaped.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// command runs one command line to its end and returns what it printed.
func (s *supervisor) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.exe, args...)
	var out, problem strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problem
	cmd.SysProcAttr = childAttributes()
	err := s.onThread(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("eastway %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}
