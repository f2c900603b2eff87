// Package need is for tests that cannot run everywhere: they say what to install or to change, and are never left out in
// continuous integration.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// root is the message for tests with namespaces, devices or nftables.
const root = "it needs root: run the tests with sudo"

// Missing skips the test: something is missing, and the message says how to get it. With CI set in the environment it fails.
func Missing(t testing.TB, message string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// Root is needed by the test.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, root)
	}
}

// Program is needed by the test; pkg is the Debian package that has it. It returns the program's path.
func Program(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program+" is not installed: apt-get install "+pkg)
	}
	return path
}

// Support is needed: err says what is missing and what to do; nil is fine.
func Support(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		Missing(t, err.Error())
	}
}
