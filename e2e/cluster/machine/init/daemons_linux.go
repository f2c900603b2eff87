package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// daemons are the processes that were started on request.
type daemons struct {
	mu     sync.Mutex
	byName map[string]*daemon
}

type daemon struct {
	machine.Status
	ended chan struct{}
}

func newDaemons() *daemons { return &daemons{byName: make(map[string]*daemon)} }

// start a daemon, unless one of this name runs.
func (d *daemons) start(spec machine.Daemon) error {
	if spec.Name == "" || spec.Name != filepath.Base(spec.Name) || len(spec.Args) == 0 {
		return fmt.Errorf("daemon %q with %d arguments: both are needed, and a name without slashes", spec.Name, len(spec.Args))
	}
	program, err := exec.LookPath(spec.Args[0])
	if err != nil {
		return err
	}
	log, err := os.OpenFile("/var/log/"+spec.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()

	// bury asks for the lock before it looks for a process: one that ends at
	// once is known by then.
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.byName[spec.Name]; old != nil && old.Running {
		return fmt.Errorf("daemon %s runs already, as process %d", spec.Name, old.PID)
	}
	pid, err := syscall.ForkExec(program, spec.Args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"PATH=" + machine.Path, "HOME=/root"}, spec.Env...),
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	d.byName[spec.Name] = &daemon{
		Status: machine.Status{Name: spec.Name, PID: pid, Running: true},
		ended:  make(chan struct{}),
	}
	return nil
}

// bury takes note of every process that ended, until ctx is done.
func (d *daemons) bury(ctx context.Context, ended chan os.Signal) error {
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ended: // one signal may stand for several
		}
		for d.buryOne() {
		}
	}
}

func (d *daemons) buryOne() (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if errors.Is(err, unix.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	for _, one := range d.byName {
		if one.PID == pid && one.Running {
			one.Running = false
			one.Ended = describe(status)
			close(one.ended)
		}
	}
	return true
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

var errUnknown = errors.New("no such daemon was started")

// signal a daemon, if it runs.
func (d *daemons) signal(name string, sig unix.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := d.byName[name]
	if one == nil {
		return errUnknown
	}
	if !one.Running {
		return nil
	}
	return unix.Kill(one.PID, sig)
}

// wait until a daemon has ended.
func (d *daemons) wait(ctx context.Context, name string) (machine.Status, error) {
	d.mu.Lock()
	one := d.byName[name]
	d.mu.Unlock()
	if one == nil {
		return machine.Status{Name: name}, errUnknown
	}
	select {
	case <-one.ended:
	case <-ctx.Done():
		return machine.Status{Name: name}, ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return one.Status, nil
}

// list all daemons that were started, by name.
func (d *daemons) list() []machine.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]machine.Status, 0, len(d.byName))
	for _, one := range d.byName {
		all = append(all, one.Status)
	}
	slices.SortFunc(all, func(a, b machine.Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}
