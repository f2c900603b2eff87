package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// Down removes the lab. Clusters of the user's own stay as they are.
func (l *Lab) Down(ctx context.Context) error {
	for _, c := range l.Clusters {
		if readable(c.Kubeconfig) { // else it is down already
			c.hangUp()
		}
	}
	if l.dir == "" {
		return nil
	}
	machines := []*machine.Machine{l.internet}
	for _, c := range l.Clusters {
		machines = append(machines, c.site, c.control)
		for _, n := range c.Nodes {
			machines = append(machines, n.machine)
		}
	}
	machines = slices.DeleteFunc(machines, func(m *machine.Machine) bool { return m == nil })
	// Those that were started here first: they are buried by this process.
	err := errors.Join(killAll(ctx, machines), Down(ctx, l.state.Config.Name))
	if l.held != nil {
		err = errors.Join(err, l.held.Close())
		l.held = nil
	}
	return err
}

// Down removes the lab of a name and all that was left of it, by whatever means
// it ended. If there is none it does nothing.
func Down(ctx context.Context, name string) error {
	if name == "" {
		name = DefaultName
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") { // a folder is removed by it
		return fmt.Errorf("lab: %q is no name of a lab", name)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, downTime, fmt.Errorf("not within %v", downTime))
	defer cancel()
	dir := labDir(name)
	machines, err := machine.Find(dir)
	if err != nil {
		return err
	}
	if err := killAll(ctx, machines); err != nil {
		return err
	}
	errs := []error{removeCgroups(ctx, dir+"/*")}
	if s, err := readState(name); err == nil {
		errs = append(errs, removeDevice(s.Plan.device()))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// Last: as long as it is there, it says that something may be left.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("lab: remove the folder of %s: %w", name, err)
	}
	// With the last one goes the folder of all.
	if err := unix.Rmdir(Base); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("lab: remove the folder of labs: %w", err)
	}
	return nil
}

func readable(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// killAll machines, the processes in them, and with these the networks and mounts.
func killAll(ctx context.Context, machines []*machine.Machine) error {
	var group errgroup.Group
	for _, m := range machines {
		group.Go(func() error { return m.Kill(ctx) })
	}
	return group.Wait()
}

// removeDevice of a lab on this computer at once; the kernel would remove it a
// little after the machine at its other end has gone.
func removeDevice(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("lab: remove the device %s: %w", name, err)
	}
	return nil
}
