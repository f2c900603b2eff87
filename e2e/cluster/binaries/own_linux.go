package binaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// litterTime is after how long a build that is still there belongs to a process
// that was killed.
const litterTime = time.Hour

// Own builds packages of the main module, given by their paths below it
// ("cmd/eastway"), into a folder that exists. What has not changed comes out of
// Go's own cache.
func (b Builder) Own(ctx context.Context, folder string, packages ...string) error {
	root, err := goOutput(ctx, ".", "list", "-m", "-f", "{{.Dir}}", own)
	if err != nil {
		return err
	}
	cache, err := b.cache()
	if err != nil {
		return err
	}
	if err := sweep(cache); err != nil {
		return err
	}
	// If this process is killed, the go command goes on for a while: its result
	// must not appear in the folder then, which may be gone.
	scratch, err := os.MkdirTemp(cache, scratchPrefix)
	if err != nil {
		return fmt.Errorf("binaries: make a folder to build in: %w", err)
	}
	defer os.RemoveAll(scratch)
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", scratch + "/"}
	for _, one := range packages {
		args = append(args, "./"+filepath.ToSlash(one))
	}
	if output, err := goCommand(ctx, root, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("binaries: build %v: %w\n%s", packages, err, output)
	}
	programs, err := os.ReadDir(scratch)
	if err != nil {
		return fmt.Errorf("binaries: list what was built: %w", err)
	}
	for _, program := range programs {
		if err := install(filepath.Join(scratch, program.Name()), filepath.Join(folder, program.Name())); err != nil {
			return err
		}
	}
	return nil
}

const scratchPrefix = "own-"

// sweep removes builds of processes that were killed.
func sweep(cache string) error {
	all, err := filepath.Glob(filepath.Join(cache, scratchPrefix+"*"))
	if err != nil {
		return err
	}
	for _, one := range all {
		if info, err := os.Stat(one); err == nil && time.Since(info.ModTime()) > litterTime {
			if err := os.RemoveAll(one); err != nil {
				return fmt.Errorf("binaries: remove what a killed process left: %w", err)
			}
		}
	}
	return nil
}

// install a program instead of one that may run.
func install(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("binaries: install a program: %w", err)
	}
	defer source.Close()
	target, err := os.OpenFile(to+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return fmt.Errorf("binaries: install a program: %w", err)
	}
	_, err = io.Copy(target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("binaries: install %s: %w", to, err)
	}
	return os.Rename(to+".new", to)
}
