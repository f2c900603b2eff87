package certs_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/eastway/eastway/certs"
)

// A user that owns nothing.
const nobody = 65534

// asNobody runs f on a thread that has that user's file permissions, also when the tests
// run as root, who may do everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			if _, err := unix.SetfsuidRetUid(nobody); err != nil {
				t.Error(err)
				return
			}
		}
		f()
	}()
	<-done
}

func TestCADirectoryThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	dir := openTo(t)
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		_, err := certs.OpenCA(filepath.Join(dir, "ca"), certs.Options{TrustDomain: domain(t, "a.test")})
		if err == nil || !strings.Contains(err.Error(), "may not do that") {
			t.Errorf("new directory: %v", err)
		}
		_, err = certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, "a.test")})
		if err == nil || !strings.Contains(err.Error(), "may not do that") {
			t.Errorf("existing directory: %v", err)
		}
	})
}

func TestCADirectoryThatMayOnlyBeRead(t *testing.T) {
	t.Parallel()
	dir := openTo(t)
	openCA(t, dir, "a.test")
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(dir, "ca.key"), nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		if _, err := certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, "a.test")}); err != nil {
			t.Errorf("a CA that is there: %v", err)
		}
	})
}

// openTo is a directory that other users reach.
func openTo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // the second one is the test's own, too
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := os.Chmod(dir, 0o755); err != nil { // so that it can be removed
			t.Error(err)
		}
	})
	return dir
}
