// Package atomicfile writes small files whole: a reader, also after a
// crash, finds the old content or the new, never a part. Its errors say what to do.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write replaces path, or makes it. perm is set as given, whatever the umask.
func Write(path string, data []byte, perm fs.FileMode) error {
	return publish(path, data, perm, os.Rename)
}

// Create makes path and never replaces it: when it is there already, the error is
// fs.ErrExist and the file holds what another process wrote, complete. Of several
// processes that try at once exactly one succeeds.
func Create(path string, data []byte, perm fs.FileMode) error {
	return publish(path, data, perm, os.Link)
}

func publish(path string, data []byte, perm fs.FileMode, appear func(temp, path string) error) error {
	dir := filepath.Dir(path)
	temp, err := writeTemp(dir, "."+filepath.Base(path)+".*", data, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, Explain(err))
	}
	defer os.Remove(temp) // after a rename it is gone already
	if err := appear(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, Explain(err))
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w", path, Explain(err))
	}
	return nil
}

func writeTemp(dir, pattern string, data []byte, perm fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := f.Chmod(perm); err != nil {
		return "", err
	}
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// syncDir makes the name as durable as the content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // a file system that cannot sync directories
	}
	return errors.Join(err, d.Close())
}

// Explain adds the remedy to an error of the file system that has a known one.
func Explain(err error) error {
	remedies := []struct {
		is     error
		remedy string
	}{
		{syscall.ENOSPC, "the disk is full: free some space there"},
		{syscall.EDQUOT, "the disk quota is used up: free some space there"},
		{syscall.EROFS, "the file system is read-only: mount it writable, or choose another directory"},
		{syscall.ENOTDIR, "a part of the path is a file, not a directory: choose another path"},
	}
	for _, r := range remedies {
		if errors.Is(err, r.is) {
			return fmt.Errorf("%w (%s)", err, r.remedy)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (user %d may not do that there%s: correct owner or mode, or choose another directory)",
			err, os.Geteuid(), guarded(err))
	}
	return err
}

// guarded describes what of an error's path is there for this user: it, or the directory that hides it. It is "" if nothing is known.
func guarded(err error) string {
	at, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return ""
	}
	for path := at.Path; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil && filepath.Dir(path) != path {
			continue
		}
		if err != nil {
			return ""
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return ""
		}
		return fmt.Sprintf(", %s is of user %d and has mode %04o", path, owner.Uid, info.Mode().Perm())
	}
}
