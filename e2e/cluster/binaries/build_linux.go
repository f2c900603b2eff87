package binaries

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Builder builds programs and finds those that were built. The zero value is
// ready to use.
type Builder struct {
	// Cache is the folder to keep programs in; empty: eastway/binaries in the
	// user's cache folder ($XDG_CACHE_HOME, else ~/.cache).
	Cache string
	// Progress gets what is built and how far it is; nil: none.
	Progress io.Writer
}

// own is the main module's path.
const own = "github.com/eastway/eastway"

// Programs returns the folder with a module's programs, which are built if they
// are not there. Several processes may ask at once: one builds, the others wait.
func (b Builder) Programs(ctx context.Context, m Module) (folder string, err error) {
	recipe := m.recipe()
	if recipe.pinned == "" {
		return "", fmt.Errorf("binaries: there is no module %q", m)
	}
	source, err := goOutput(ctx, ".", "list", "-f", "{{.Dir}}", own+"/e2e/cluster/binaries")
	if err != nil {
		return "", err
	}
	source = filepath.Join(source, string(m))
	version, err := pinnedVersion(ctx, source, recipe.pinned)
	if err != nil {
		return "", err
	}
	flags := []string{"-trimpath", "-ldflags", recipe.ldflags(version)}
	if recipe.tags != "" {
		flags = append(flags, "-tags", recipe.tags)
	}
	key, err := cacheKey(ctx, source, flags)
	if err != nil {
		return "", err
	}
	cache, err := b.cache()
	if err != nil {
		return "", err
	}
	folder = filepath.Join(cache, string(m)+"-"+version+"-"+key)
	if built(folder) {
		return folder, nil
	}
	unlock, err := lock(ctx, folder+".lock", func() { b.printf("%s: waiting for another process that builds it\n", m) })
	if err != nil {
		return "", err
	}
	defer unlock()
	if built(folder) { // by the one that held the lock
		return folder, nil
	}
	b.printf("%s %s: building its programs into %s, once (%s on two cores)\n", m, version, cache, recipe.duration)
	began := time.Now()
	if err := b.build(ctx, m, source, folder, flags); err != nil {
		return "", err
	}
	b.printf("%s: built in %v\n", m, time.Since(began).Round(time.Second))
	return folder, nil
}

func (b Builder) printf(format string, args ...any) {
	if b.Progress != nil {
		fmt.Fprintf(b.Progress, format, args...)
	}
}

func (b Builder) cache() (string, error) {
	cache := b.Cache
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("binaries: find a folder to keep programs in (set XDG_CACHE_HOME): %w", err)
		}
		cache = filepath.Join(user, "eastway", "binaries")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("binaries: make the cache: %w", err)
	}
	return cache, nil
}

// build a module's tools beside the folder, and move them there when they are complete.
func (b Builder) build(ctx context.Context, m Module, source, folder string, flags []string) error {
	unfinished := folder + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("binaries: remove an unfinished build: %w", err)
	}
	args := append([]string{"build", "-v", "-o", unfinished + "/"}, flags...)
	command := goCommand(ctx, source, append(args, "tool")...)
	if b.Progress == nil {
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("binaries: build %s: %w\n%s", m, err, output)
		}
		return b.finish(ctx, m, source, folder, flags)
	}
	meter := newMeter(b.Progress, string(m), countPackages(ctx, source))
	command.Stdout, command.Stderr = meter, meter // the same one: not at once
	if err := command.Run(); err != nil {
		return fmt.Errorf("binaries: build %s: %w\n%s", m, err, meter.complaints())
	}
	return b.finish(ctx, m, source, folder, flags)
}

// finish a build by the tests that belong to it.
func (b Builder) finish(ctx context.Context, m Module, source, folder string, flags []string) error {
	unfinished := folder + ".unfinished"
	if tests := m.recipe().tests; tests != "" {
		args := append([]string{"test", "-c", "-o", filepath.Join(unfinished, string(m))}, flags...)
		if output, err := goCommand(ctx, source, append(args, tests)...).CombinedOutput(); err != nil {
			return fmt.Errorf("binaries: build the tests of %s: %w\n%s", tests, err, output)
		}
	}
	return os.Rename(unfinished, folder)
}

func built(folder string) bool {
	_, err := os.Stat(folder)
	return err == nil
}

// pinnedVersion is which version of a module the one in a folder requires.
func pinnedVersion(ctx context.Context, folder, module string) (string, error) {
	output, err := goOutput(ctx, folder, "mod", "edit", "-json")
	if err != nil {
		return "", err
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(output), &file); err != nil {
		return "", fmt.Errorf("binaries: read go.mod in %s: %w", folder, err)
	}
	for _, require := range file.Require {
		if require.Path == module {
			return require.Version, nil
		}
	}
	return "", fmt.Errorf("binaries: go.mod in %s does not require %s", folder, module)
}

// cacheKey names all that a build depends on.
func cacheKey(ctx context.Context, source string, flags []string) (string, error) {
	compiler, err := goOutput(ctx, source, "env", "GOVERSION", "GOOS", "GOARCH", "GOFLAGS", "GOEXPERIMENT")
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q\n", compiler, flags)
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", fmt.Errorf("binaries: read what is to be built: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(text), text)
	}
	const length = 6 // bytes: enough to distinguish a handful of versions
	return fmt.Sprintf("%x", hash.Sum(nil)[:length]), nil
}

// countPackages is how many a build may compile, 0 if that is not known.
func countPackages(ctx context.Context, source string) int {
	output, err := goOutput(ctx, source, "list", "-deps", "tool")
	if err != nil {
		return 0 // the build says why
	}
	return strings.Count(output, "\n") + 1
}

// goCommand runs the go command in a folder, for static programs.
func goCommand(ctx context.Context, folder string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = folder
	// A workspace or a vendor folder of the user is not meant.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return command
}

func goOutput(ctx context.Context, folder string, args ...string) (string, error) {
	command := goCommand(ctx, folder, args...)
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("binaries: go %s in %s: %w\n%s", strings.Join(args, " "), folder, err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("binaries: go %s (is Go installed and in PATH?): %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(output)), nil
}
