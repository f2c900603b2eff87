package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// Patience bounds the wait for a process to be ready, to end, and for tunnels to stand.
	Patience = 30 * time.Second
	// PollEvery is the time between two looks at one condition.
	PollEvery = 50 * time.Millisecond
	// pollTime bounds one look.
	pollTime = 2 * time.Second
)

// Spawner starts processes on one thread that lives until it is closed: the kernel sends the parent-death signal when
// the thread ends that started a child.
type Spawner chan func()

// NewSpawner returns one that its owner closes, after the end of all that it has started.
func NewSpawner() Spawner {
	s := make(Spawner)
	go func() {
		runtime.LockOSThread()
		for f := range s {
			f()
		}
	}()
	return s
}

func (s Spawner) start(cmd *exec.Cmd) error {
	done := make(chan error)
	s <- func() { done <- cmd.Start() }
	return <-done
}

// Process is a child. One that is started again gets a new Process.
type Process struct {
	Name string
	// Input is its standard input, closed by its end.
	Input io.WriteCloser

	cmd   *exec.Cmd
	ended chan struct{}
}

// Begin starts a command that ends with this process at the latest. Its output is appended to the file log.
func (s Spawner) Begin(name, log string, cmd *exec.Cmd) (*Process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{Name: name, cmd: cmd, ended: make(chan struct{})}
	if p.Input, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := s.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its ProcessState has the result
	}()
	return p, nil
}

// errEnded does not change any more.
var errEnded = errors.New("has ended by itself")

// Alive is an error if it has ended.
func (p *Process) Alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s %w (%s)", p.Name, errEnded, p.cmd.ProcessState)
	default:
		return nil
	}
}

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// End sends a signal and returns when the process has ended; after some time it is killed, which is an error.
func (p *Process) End(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case <-p.ended:
		return nil
	case <-late.C:
		err := p.cmd.Process.Kill()
		<-p.ended
		return errors.Join(fmt.Errorf("%s did not end within %v of %v", p.Name, Patience, s), err)
	}
}

// Command runs to its end and returns what it prints.
func (s Spawner) Command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, problem strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problem
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := s.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// Await looks until done is nil, for as long as Patience, or a process has ended without which it never will be.
func Await(ctx context.Context, what string, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, Patience, fmt.Errorf("not within %v", Patience))
	defer cancel()
	tick := time.NewTicker(PollEvery)
	defer tick.Stop()
	var last error
	for {
		look, stop := context.WithTimeout(ctx, pollTime)
		err := done(look)
		stop()
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: %w", what, context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
