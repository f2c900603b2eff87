package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

// furnish gives the machine its host name and file systems: all of the host's,
// but /proc, /run, /var/lib and /var/log of its own.
func furnish(dir, hostname, programs string) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("set the host name %s: %w", hostname, err)
	}
	etc := filepath.Join(dir, machine.EtcFolder)
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		// Nothing mounted from here on shows on the host, nor the other way round.
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
		// Sources are mounted before anything hides them.
		{programs, filepath.Join(etc, "bin"), "", unix.MS_BIND},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV},
		{etc, machine.Etc, "", unix.MS_BIND | unix.MS_REC},
		{filepath.Join(dir, machine.LogFolder), "/var/log", "", unix.MS_BIND},
		{filepath.Join(dir, machine.LibFolder), "/var/lib", "", unix.MS_BIND},
		// Within the machine mounts are shared, as kubelet and containers expect it.
		{"", "/", "", unix.MS_REC | unix.MS_SHARED},
	} {
		if m.target == machine.Etc {
			if err := os.MkdirAll(m.target, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s %s on %s: %w", m.kind, m.source, m.target, err)
		}
	}
	return nil
}
