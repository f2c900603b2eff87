package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// dir is where iproute2 and other programs look for named namespaces.
	dir = "/run/netns"
	// current is the network namespace of the calling thread.
	current = "/proc/thread-self/ns/net"
)

// Namespace is a network namespace.
type Namespace struct {
	path  string
	file  *os.File
	owned bool // made by Create
}

// Create makes a network namespace with its loopback device up. The label
// (letters, digits, '-' and '_') makes its name unique within this process.
func Create(label string) (*Namespace, error) {
	name, err := ownName(label)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("netns: make the directory of namespaces: %w", err)
	}
	n := &Namespace{path: filepath.Join(dir, name), owned: true}
	// The file to mount the namespace on, which must be ours alone.
	file, err := os.OpenFile(n.path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("netns: create namespace %s: %w", name, err)
	}
	_ = file.Close() // nothing was written
	if err := n.mount(); err != nil {
		return nil, errors.Join(fmt.Errorf("netns: create namespace %s: %w", name, err), n.Close())
	}
	return n, nil
}

// mount makes a new namespace, and keeps it alive below n.path.
func (n *Namespace) mount() error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare (root is needed): %w", err)
		}
		if err := unix.Mount(current, n.path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind to %s: %w", n.path, err)
		}
		file, err := os.Open(n.path)
		if err != nil {
			return err
		}
		n.file = file
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find the loopback device: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set the loopback device up: %w", err)
		}
		return nil
	})
}

// Open finds an existing network namespace: by its name in /run/netns or by a
// path such as /proc/PID/ns/net; the empty name is the caller's own.
func Open(name string) (*Namespace, error) {
	path := name
	switch {
	case name == "":
		path = current
	case !strings.ContainsRune(name, '/'):
		path = filepath.Join(dir, name)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netns: open network namespace %q: %w", name, err)
	}
	return &Namespace{path: path, file: file}, nil
}

// Name is what `ip netns` and Open call it.
func (n *Namespace) Name() string { return filepath.Base(n.path) }

// Path can be given to nsenter --net=.
func (n *Namespace) Path() string { return n.path }

// Do calls f on a thread inside the namespace. Sockets that f opens stay there
// for good; goroutines that f starts are outside.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("netns: enter network namespace %s: %w", n.path, err)
		}
		return f()
	})
}

// onThread calls f, which may change the network namespace of its thread.
func onThread(f func() error) error {
	runtime.LockOSThread()
	before, err := os.Open(current)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("netns: open the own network namespace: %w", err)
	}
	defer before.Close()
	err = f()
	if back := unix.Setns(int(before.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, and ends with the goroutine: no other may run on it.
		return errors.Join(err, fmt.Errorf("netns: return to the own network namespace: %w", back))
	}
	runtime.UnlockOSThread()
	return err
}

// Close lets go of the namespace, and removes it if Create made it. Processes
// inside keep it alive, without a name, until they end.
func (n *Namespace) Close() error {
	var errs []error
	if n.file != nil {
		errs = append(errs, n.file.Close())
	}
	if n.owned {
		errs = append(errs, remove(n.path))
	}
	return errors.Join(errs...)
}

// remove the name of a namespace, if it is there.
func remove(path string) error {
	// Not mounted (EINVAL): the owner was killed before it came to that.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("netns: unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("netns: remove the name of a namespace: %w", err)
	}
	return nil
}
