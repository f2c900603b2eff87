package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// stateFile in a lab's folder says what the lab is, for other processes.
const stateFile = "lab.json"

// state is what the stateFile holds.
type state struct {
	Config Config
	Plan   plan
	// Kubernetes, CoreDNS and MetricsServer are the folders of their programs.
	Kubernetes, CoreDNS, MetricsServer string
	// Ready is set when the lab has come up.
	Ready bool
}

func labDir(name string) string { return filepath.Join(Base, name) }

func (s state) write() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("lab: encode its state: %w", err)
	}
	path := filepath.Join(labDir(s.Config.Name), stateFile)
	if err := writeFile(path+".new", text); err != nil {
		return err
	}
	return os.Rename(path+".new", path) // at once: others read it
}

func readState(name string) (state, error) {
	var s state
	text, err := os.ReadFile(filepath.Join(labDir(name), stateFile))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("lab: read the state of %s: %w", name, err)
	}
	s.Config = s.Config.withDefaults()
	return s, nil
}

// ErrUp is that a lab of this name is up.
var ErrUp = errors.New("a lab of this name is up already, or was left behind by one: take it down first")

// claim makes the folder of a lab, and finds addresses that no other one has.
func claim(ctx context.Context, s state) (state, error) {
	unlock, err := lockLabs(ctx)
	if err != nil {
		return state{}, err
	}
	defer unlock()
	if _, err := os.Stat(labDir(s.Config.Name)); err == nil {
		return state{}, fmt.Errorf("lab: %s: %w", s.Config.Name, ErrUp)
	}
	names, err := Names()
	if err != nil {
		return state{}, err
	}
	taken := make(map[int]bool)
	for _, name := range names {
		other, err := readState(name)
		if errors.Is(err, os.ErrNotExist) { // it is being removed, or its maker was killed before it had anything
			continue
		}
		if err != nil {
			return state{}, fmt.Errorf("%w; remove it with: down --name %s", err, name)
		}
		taken[other.Plan.Number] = true
	}
	for taken[s.Plan.Number] {
		s.Plan.Number++
	}
	if s.Plan.Number >= maxLabs {
		return state{}, fmt.Errorf("lab: %d labs are up already", maxLabs)
	}
	return s, s.write()
}

// hold a lab's folder for as long as this process lives or until the file is
// closed, so that no other one takes the lab for something left behind. If one
// does hold it, the file is nil; so it is if there is no such folder.
func hold(name string) (held *os.File, busy bool, err error) {
	file, err := os.Open(labDir(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lab: open the folder of %s: %w", name, err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, false, nil
	}
	if err := file.Close(); err != nil {
		return nil, false, err
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, true, nil
	}
	return nil, false, fmt.Errorf("lab: lock the folder of %s: %w", name, err)
}

// replace takes down what was left of a lab, unless the process that started it still lives.
func replace(ctx context.Context, name string) error {
	held, busy, err := hold(name)
	if err != nil {
		return err
	}
	if busy {
		return fmt.Errorf("lab: %s: its starter still runs: wait for it, or take another name: %w", name, ErrUp)
	}
	if held == nil {
		return nil
	}
	return errors.Join(Down(ctx, name), held.Close())
}

// Names of the labs of this computer, whether they are up or were left behind.
func Names() ([]string, error) {
	entries, err := os.ReadDir(Base)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("lab: list labs: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Absent says that no lab of that name is up, and which are.
func Absent(name string) error {
	names, err := Names()
	if err != nil {
		return err
	}
	return absent(name, names)
}

func absent(name string, names []string) error {
	start := "make clusters"
	if name != DefaultName {
		start += fmt.Sprintf(" ARGS='--name %s'", name)
	}
	if len(names) == 0 {
		return fmt.Errorf("lab: no lab called %s is up, nor any other: %s", name, start)
	}
	return fmt.Errorf("lab: no lab called %s is up, but %s: choose with --name %s, or bring one up: %s",
		name, strings.Join(names, ", "), names[0], start)
}

// lockLabs keeps other processes from changing which labs there are.
func lockLabs(ctx context.Context) (unlock func(), err error) {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		unlock, err := tryLockLabs()
		if unlock != nil || err != nil {
			return unlock, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("lab: wait for another process to let go of %s: %w", Base, context.Cause(ctx))
		}
	}
}

// tryLockLabs returns nil when another process is changing them.
func tryLockLabs() (unlock func(), err error) {
	if err := os.MkdirAll(Base, 0o700); err != nil { // keys lie below it
		return nil, fmt.Errorf("lab: make the folder of labs (root is needed): %w", err)
	}
	folder, err := os.Open(Base)
	if errors.Is(err, os.ErrNotExist) { // removed with its last lab
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lab: open the folder of labs: %w", err)
	}
	err = unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !isAt(folder, Base) {
		err = unix.EWOULDBLOCK // the same, and made anew by another process
	}
	if err == nil {
		return func() { _ = folder.Close() }, nil
	}
	_ = folder.Close()
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
		return nil, nil
	}
	return nil, fmt.Errorf("lab: lock the folder of labs: %w", err)
}

// isAt reports whether an open file is what is at a path now.
func isAt(file *os.File, path string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(opened, there)
}

// attach finds the machines of a lab that run.
func (l *Lab) attach() error {
	machines, err := machine.Find(l.dir)
	if err != nil {
		return err
	}
	byName := make(map[string]*machine.Machine)
	for _, m := range machines {
		byName[m.Name()] = m
	}
	l.internet = byName[internetName]
	for _, c := range l.Clusters {
		c.site, c.control = byName[c.siteName()], byName[c.controlName()]
		for _, n := range c.Nodes {
			n.machine = byName[n.Name]
		}
	}
	return nil
}
