package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/eastway/eastway/internal/need"
)

// tourNet replaces the first two octets of the tour's addresses, so that nothing else on this machine has them.
const tourNet = "127.93."

// tourCommands are the shell blocks of docs/tour.md, in order, but for the build.
func tourCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		block, _ := strings.CutPrefix(m[1], "make build\n")
		blocks = append(blocks, strings.ReplaceAll(block, "127.0.", tourNet))
	}
	return blocks
}

// The tour does what it says, pasted into a shell.
func TestTour(t *testing.T) {
	t.Parallel()
	need.Program(t, "curl", "curl")
	exe, _ := buildEastway(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(dir, "bin", "eastway")); err != nil {
		t.Fatal(err)
	}
	script := "set -e\ntrap 'kill -9 $(cat tour/*.pid) 2>/dev/null || true' EXIT\n" + strings.Join(tourCommands(t), "")
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"-> hello(version: east-1, ip: " + tourNet + "1.20)\n", "-> hello(version: west-1, ip: " + tourNet + "2.20)\n",
		`"target":"` + tourNet + `1.20:8000","cluster":"east","result":"503"`, "hello(east-1) is broken\n",
		`"result":"refused"`, `"target":"west","cluster":"west","result":"answered"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
