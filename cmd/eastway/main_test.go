package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/eastway/eastway/internal/command"
)

// -update rewrites the golden files: go test ./cmd/eastway -update.
var update = flag.Bool("update", false, "rewrite golden files")

// asCommand in the environment makes this test binary the command itself.
const asCommand = "EASTWAY_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main() // does not return
	}
	// Of a SPDY connection that the other side closed first this remains for a second.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

// result is what a script sees of one command line.
type result struct {
	code           int
	stdout, stderr string
}

func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// golden compares got with testdata/name.
// What cannot be printed is an error, whichever command prints it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	ca := filepath.Join(t.TempDir(), "ca")
	must(t, "certs", "init", "--dir", ca, "--cluster", "a")
	for _, args := range []string{"peer export --cluster a --ca " + ca, "certs show " + ca, "proxy --help", "peer list --config " + ca, "version"} {
		var stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(args), full, &stderr)
		if code != command.Failure || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit %d, %s", args, code, &stderr)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("output differs from %s (go test ./cmd/eastway -update)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}
