package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// removeCgroups of the containers that were on machines that have ended; the
// directories of those are given as a pattern. The kernel leaves them behind.
// containerd names them after its namespace and the container, in each
// hierarchy (version 1) or the only one (version 2).
func removeCgroups(ctx context.Context, machines string) error {
	containers, err := filepath.Glob(machines + "/lib/containerd/io.containerd.grpc.v1.cri/*/*")
	if err != nil {
		return err
	}
	var parents []string
	for _, pattern := range []string{"/sys/fs/cgroup/k8s.io", "/sys/fs/cgroup/*/k8s.io"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		parents = append(parents, found...)
	}
	for _, parent := range parents {
		for _, container := range containers {
			if err := removeCgroup(ctx, filepath.Join(parent, filepath.Base(container))); err != nil {
				return err
			}
		}
		// Others may have theirs in it.
		err := unix.Rmdir(parent)
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("lab: remove the cgroup %s: %w", parent, err)
		}
	}
	return nil
}

// removeCgroup and those inside of it. The kernel may need a moment to see that
// the last process has left.
func removeCgroup(ctx context.Context, root string) error {
	var groups []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("lab: look for cgroups: %w", err)
	}
	slices.Reverse(groups)
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for _, group := range groups {
		for {
			err := unix.Rmdir(group)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("lab: remove the cgroup %s: %w", group, err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("lab: wait for the cgroup %s to be empty: %w", group, context.Cause(ctx))
			}
		}
	}
	return nil
}
