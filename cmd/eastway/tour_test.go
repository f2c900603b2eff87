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

// commandsOf are the shell blocks of a page in docs/, in order, but for the build. net replaces the first two octets of its addresses, so
// that nothing else on this machine has them.
func commandsOf(t *testing.T, page, net string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		block, _ := strings.CutPrefix(m[1], "make build\n")
		all.WriteString(strings.ReplaceAll(block, "127.0.", net))
	}
	return all.String()
}

// paste runs a page's commands in a shell, as they stand. They have to leave nothing behind.
func paste(t *testing.T, commands, pids string) (output string) {
	t.Helper()
	exe, _ := buildEastway(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, filepath.Join(dir, "bin", "eastway")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -e\ntrap 'kill -9 $(cat "+pids+" 2>/dev/null) 2>/dev/null || true' EXIT\n"+commands)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	return string(out)
}

// The tour does what it says, pasted into a shell.
func TestTour(t *testing.T) {
	t.Parallel()
	need.Program(t, "curl", "curl")
	const net = "127.93."
	out := paste(t, commandsOf(t, "tour.md", net), "tour/*.pid")
	for _, want := range []string{
		"-> hello(version: east-1, ip: " + net + "1.20)\n", "-> hello(version: west-1, ip: " + net + "2.20)\n",
		`"target":"` + net + `1.20:8000","cluster":"east","result":"503"`, "hello(east-1) is broken\n",
		`"result":"refused"`, `"target":"west","cluster":"west","result":"answered"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// A region is lost as docs/regions.md says, pasted into a shell.
func TestRegions(t *testing.T) {
	t.Parallel()
	need.Program(t, "curl", "curl")
	need.Program(t, "dig", "bind9-dnsutils")
	const net = "127.94."
	out := paste(t, commandsOf(t, "regions.md", net), "regions/*.pid")
	both := net + "3.5\n" + net + "4.5\n"
	for _, want := range []string{
		both + "-> shop(version: east-1, ip: " + net + "3.20)\n-> shop(version: west-1, ip: " + net + "4.20)\n",
		"region-loss, region=east: ended after 10s: its time is over\n", "east east/east-1", "west west/west-1",
		"0 of 50 calls failed that enter at east\n", net + "4.5  OUT",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.HasSuffix(out, both) {
		t.Errorf("west is not back:\n%s", out)
	}
}
