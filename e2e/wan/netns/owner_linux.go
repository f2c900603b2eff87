package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Prefix begins the name of each namespace that Create makes:
// PREFIX PID "." START "-" LABEL, where START is when the process began, in
// ticks since boot, so that a later process with its number is not mistaken for it.
const Prefix = "eastway-wan-"

// owner is a process.
type owner struct {
	pid   int
	start string
}

func ownName(label string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString(label) {
		return "", fmt.Errorf("netns: label %q must be 1 to 64 letters, digits, '-' or '_'", label)
	}
	pid := os.Getpid()
	start, err := startOf(pid)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d.%s-%s", Prefix, pid, start, label), nil
}

// ownerOf reads the owner from a name that Create may have made.
func ownerOf(name string) (owner, bool) {
	rest, ok := strings.CutPrefix(name, Prefix)
	if !ok {
		return owner{}, false
	}
	id, _, ok := strings.Cut(rest, "-")
	if !ok {
		return owner{}, false
	}
	number, start, ok := strings.Cut(id, ".")
	if !ok {
		return owner{}, false
	}
	pid, err := strconv.Atoi(number)
	return owner{pid: pid, start: start}, err == nil && pid > 0
}

// alive reports whether the owner still runs.
func (o owner) alive() (bool, error) {
	start, err := startOf(o.pid)
	if errors.Is(err, errEnded) {
		return false, nil
	}
	return start == o.start, err
}

var errEnded = errors.New("netns: the process has ended")

// startOf is when a process began: field 22 of proc_pid_stat(5).
func startOf(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return "", errEnded
	}
	if err != nil {
		return "", fmt.Errorf("netns: look for the owner of a namespace: %w", err)
	}
	// The fields behind the second one, which is the program's name in parentheses.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, start = 0, 22 - 3 // from the third one on
	if len(fields) <= start {
		return "", fmt.Errorf("netns: /proc/%d/stat has too few fields", pid)
	}
	if fields[state] == "Z" || fields[state] == "X" { // killed, and its parent has not noticed yet
		return "", errEnded
	}
	return fields[start], nil
}

// Sweep removes the namespaces of owners that ended without doing so, and
// returns their names.
func Sweep() ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("netns: list namespaces: %w", err)
	}
	var (
		removed []string
		errs    []error
	)
	for _, entry := range entries {
		o, ok := ownerOf(entry.Name())
		if !ok {
			continue
		}
		if alive, err := o.alive(); alive || err != nil {
			errs = append(errs, err)
			continue
		}
		if err := remove(filepath.Join(dir, entry.Name())); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, entry.Name())
	}
	return removed, errors.Join(errs...)
}
