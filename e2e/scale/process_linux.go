package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/admin"
)

const (
	// readyPoll is how often a process is polled for readiness.
	readyPoll = 20 * time.Millisecond
	// callTime bounds one question to a process: with 10,000 services some answers are megabytes.
	callTime = 20 * time.Second
	// stopTime is how long a process may take to end in order.
	stopTime = time.Minute
	// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 everywhere.
	clockTick = 100
)

// process is a running eastway, in a node's network.
type process struct {
	name    string
	started time.Time
	health  string // HOST:PORT of its health listener
	admin   string // of its admin listener; "": it has none
	client  *http.Client

	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{} // then cmd says how
}

// start it with these flags; the caller kills it.
func start(ctx context.Context, on *lab.Node, dir, name, health string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	p := &process{name: name, health: health, log: log, ended: make(chan struct{}), client: &http.Client{Timeout: callTime}}
	p.cmd = on.Command(context.WithoutCancel(ctx), filepath.Join(dir, "eastway"), args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// It must not outlive this process, however that ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its ProcessState has the result
	}()
	return p, nil
}

// end it by that signal, and return when it has ended.
func (p *process) end(signal syscall.Signal) error {
	defer p.client.CloseIdleConnections()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	late := time.NewTimer(stopTime)
	defer late.Stop()
	select {
	case <-p.ended:
		if err := p.log.Close(); err != nil && !errors.Is(err, os.ErrClosed) { // it was ended before
			return err
		}
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("%s did not end within %v of signal %v", p.name, stopTime, signal), p.cmd.Process.Kill())
	}
}

// errEnded: a process is gone that something is waited for of.
var errEnded = errors.New("the process has ended")

// alive is nil while it runs.
func (p *process) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s: %w (%s): see %s", p.name, errEnded, p.cmd.ProcessState, p.log.Name())
	default:
		return nil
	}
}

// get asks it; any answer but 200 is an error.
func (p *process) get(ctx context.Context, at, path string, read func(io.Reader) error) error {
	if err := p.alive(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s for %s: %w", p.name, path, err)
	}
	answer, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s for %s: %w", p.name, path, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return errors.Join(fmt.Errorf("%s answers %s with %s: %s", p.name, path, answer.Status, text), err)
	}
	if read == nil {
		read = func(r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}
	}
	return read(answer.Body)
}

// untilReady returns how long after its start it was ready.
func (p *process) untilReady(ctx context.Context) (time.Duration, error) {
	err := await(ctx, p.name+" to be ready", readyPoll, func() error { return p.get(ctx, p.health, admin.PathReadyz, nil) })
	return time.Since(p.started), err
}

// metrics of these names.
func (p *process) metrics(ctx context.Context, names ...string) (s samples, err error) {
	err = p.get(ctx, p.health, admin.PathMetrics, func(r io.Reader) error {
		s, err = parseMetrics(r, names...)
		return err
	})
	return s, err
}

// cpu is how long it has computed, in seconds.
func (p *process) cpu() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("CPU time of %s: %w", p.name, err)
	}
	// The second field is the name in parentheses, in which may be anything.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const user, system = 11, 12 // fields 14 and 15 of proc(5)
	if len(fields) <= system {
		return 0, fmt.Errorf("CPU time of %s: %q", p.name, data)
	}
	u, errU := strconv.ParseFloat(string(fields[user]), 64)
	s, errS := strconv.ParseFloat(string(fields[system]), 64)
	return (u + s) / clockTick, errors.Join(errU, errS)
}

// peak is the most memory that it has had, in bytes.
func (p *process) peak() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.name, err)
	}
	_, rest, ok := bytes.Cut(data, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("memory of %s: no VmHWM", p.name)
	}
	kib, err := strconv.ParseFloat(string(fields[0]), 64)
	return kib * (1 << 10), err
}

// await asks again and again until done says nil, for patience at most, and not of a process that has ended.
func await(ctx context.Context, what string, every time.Duration, done func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %v", patience))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return fmt.Errorf("wait for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; at last: %w", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
