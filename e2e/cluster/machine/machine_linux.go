package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/wan/netns"
)

const (
	// startTime is how long a machine may take until it answers; it takes milliseconds on an idle computer.
	startTime = 20 * time.Second
	// pollTime is the interval of polls for what the kernel does not signal.
	pollTime = 10 * time.Millisecond
	// hostnameLength is the kernel's limit in bytes.
	hostnameLength = 64
)

// Config of a machine.
type Config struct {
	// Dir is the machine's directory, made if it is not there. It must be short:
	// a socket's path has 107 bytes at most.
	Dir string
	// Hostname of the machine.
	Hostname string
	// Init is the path of the program built from the folder init.
	Init string
	// Programs is a folder that the machine sees as /run/machine/bin, where
	// daemons are looked for first.
	Programs string
}

// Validate names the field that is wrong.
func (c Config) Validate() error {
	if socket := filepath.Join(c.Dir, ControlSocket); !filepath.IsAbs(c.Dir) || len(socket) >= len(unix.RawSockaddrUnix{}.Path) {
		return fmt.Errorf("machine: Config.Dir is %q, must be absolute and so short that %s is a socket's path", c.Dir, socket)
	}
	if c.Hostname == "" || len(c.Hostname) > hostnameLength {
		return fmt.Errorf("machine: Config.Hostname is %q, must have 1 to %d bytes", c.Hostname, hostnameLength)
	}
	if !filepath.IsAbs(c.Init) {
		return fmt.Errorf("machine: Config.Init is %q, must be the absolute path of a program", c.Init)
	}
	if !filepath.IsAbs(c.Programs) {
		return fmt.Errorf("machine: Config.Programs is %q, must be the absolute path of a folder", c.Programs)
	}
	return nil
}

// Machine is a running machine.
type Machine struct {
	dir   string
	pid   int
	ended chan struct{} // closed when it has ended and is a child of this process; nil for others
}

// Start a machine. It goes on when this process ends.
func Start(ctx context.Context, c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	for _, folder := range []string{LogFolder, LibFolder, binFolder} {
		if err := os.MkdirAll(filepath.Join(c.Dir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("machine: make its directory: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(c.Dir, LogFolder, "init.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("machine: make its log: %w", err)
	}
	defer log.Close()
	process := exec.Cmd{
		Path:   c.Init,
		Args:   []string{InitName, c.Dir, c.Hostname, c.Programs},
		Env:    []string{"PATH=" + Path, "HOME=/root"},
		Dir:    "/",
		Stdout: log,
		Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:     true, // the terminal's signals are not meant for it
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		},
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("machine: start %s in new namespaces (root is needed): %w", c.Init, err)
	}
	m := &Machine{dir: c.Dir, pid: process.Process.Pid, ended: make(chan struct{})}
	go func() { // Kill waits for it
		defer close(m.ended)
		_ = process.Wait() // it was killed: nothing else ends it
	}()
	if err := m.awaitStart(ctx); err != nil {
		return nil, errors.Join(err, m.Kill(ctx))
	}
	return m, nil
}

// awaitStart returns when the machine answers.
func (m *Machine) awaitStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		_, err := m.Daemons(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-m.ended:
			return fmt.Errorf("machine: %s ended as it started: %s", m.Name(), LogTail(filepath.Join(m.dir, LogFolder, "init.log")))
		case <-ctx.Done():
			return fmt.Errorf("machine: wait for %s to answer: %w (last: %w)", m.Name(), context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// Find returns the running machines of which the directories lie in a folder.
func Find(folder string) ([]*Machine, error) {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("machine: look for machines: %w", err)
	}
	var found []*Machine
	for _, process := range processes {
		var pid int
		if _, err := fmt.Sscanf(process.Name(), "%d", &pid); err != nil {
			continue
		}
		if dir, ok := dirOf(pid); ok && strings.HasPrefix(dir, filepath.Clean(folder)+"/") {
			found = append(found, &Machine{dir: dir, pid: pid})
		}
	}
	return found, nil
}

// dirOf reads a machine's directory from the command line of its first process.
// Zombies have none.
func dirOf(pid int) (dir string, ok bool) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "", false
	}
	args := strings.Split(string(line), "\x00")
	if len(args) < 3 || args[0] != InitName {
		return "", false
	}
	return args[1], true
}

// Name is the last part of the directory's path.
func (m *Machine) Name() string { return filepath.Base(m.dir) }

// Dir is the machine's directory.
func (m *Machine) Dir() string { return m.dir }

// PID of the first process, as this process sees it.
func (m *Machine) PID() int { return m.pid }

// Root is where the machine's file tree is found from outside.
func (m *Machine) Root() string { return fmt.Sprintf("/proc/%d/root", m.pid) }

// Network opens the machine's network namespace; the caller closes it.
func (m *Machine) Network() (*netns.Namespace, error) {
	return netns.Open(fmt.Sprintf("/proc/%d/ns/net", m.pid))
}

// Kill ends the machine as if it lost its power, and returns when nothing of it
// runs any more. Killing one that has ended is no error.
func (m *Machine) Kill(ctx context.Context) error {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("machine: kill %s: %w", m.Name(), err)
	}
	defer unix.Close(fd)
	// From here on fd cannot come to mean another process; see that it means ours.
	if dir, ok := dirOf(m.pid); !ok || dir != m.dir {
		return m.buried(ctx)
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("machine: kill %s: %w", m.Name(), err)
	}
	for { // the first process ends after all others of its namespace
		end := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} // descriptors are small
		ready, err := unix.Poll(end, int(pollTime.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("machine: wait for the end of %s: %w", m.Name(), err)
		}
		if ready > 0 {
			return m.buried(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("machine: wait for the end of %s, process %d: %w", m.Name(), m.pid, context.Cause(ctx))
		}
	}
}

// buried waits until the process table has forgotten the machine, if that is this process's business.
func (m *Machine) buried(ctx context.Context) error {
	if m.ended == nil {
		return nil
	}
	select {
	case <-m.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
