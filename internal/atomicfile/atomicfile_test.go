package atomicfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/atomicfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWriteReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []string{"one", "two"} {
		if err := atomicfile.Write(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	alone(t, dir)
}

func TestCreateNeverReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = atomicfile.Create(path, fmt.Appendf(nil, "%d", i), 0o600) })
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		switch {
		case err == nil && winner == "":
			winner = fmt.Sprint(i)
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("second winner, or another error: %v", err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != winner {
		t.Errorf("file holds %q, %v; the winner was %q", got, err, winner)
	}
	alone(t, dir)
}

// alone makes sure that no temporary file is left behind.
func alone(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v, %v", entries, err)
	}
}

func TestErrorsNamePathAndRemedy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "f")
	if err := atomicfile.Write(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	for errno, remedy := range map[syscall.Errno]string{
		syscall.ENOSPC: "free some space", syscall.EDQUOT: "free some space", syscall.EROFS: "mount it writable",
		syscall.EACCES: "may not do that", syscall.ENOTDIR: "choose another path",
	} {
		err := atomicfile.Explain(&fs.PathError{Op: "write", Path: "f", Err: errno})
		if !errors.Is(err, errno) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", errno, err)
		}
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o710); err != nil {
		t.Fatal(err)
	}
	// What is not there is below what hides it.
	err := atomicfile.Explain(&fs.PathError{Op: "open", Path: filepath.Join(dir, "a", "b"), Err: syscall.EACCES})
	if want := fmt.Sprintf(", %s is of user %d and has mode 0710: correct", dir, os.Geteuid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if err := atomicfile.Explain(nil); err != nil {
		t.Error(err)
	}
}
