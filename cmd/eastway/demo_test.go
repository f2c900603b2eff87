package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/demo"
)

// buildEastway builds the binary, with a directory for its temporary files.
func buildEastway(t *testing.T) (exe, tmp string) {
	t.Helper()
	exe, tmp = filepath.Join(t.TempDir(), "eastway"), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", exe, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe, tmp
}

func demoCommand(t *testing.T, exe, tmp string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe, append([]string{"demo"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	return cmd
}

// demoLeftNothing finds no file in tmp and no process of the binary.
func demoLeftNothing(t *testing.T, exe, tmp string) {
	t.Helper()
	files, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("left behind: %s", f.Name())
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		// A process that ended meanwhile has no command line.
		if data, err := os.ReadFile(path); err == nil && bytes.HasPrefix(data, []byte(exe)) {
			t.Errorf("left behind: %s", bytes.ReplaceAll(data, []byte{0}, []byte{' '}))
		}
	}
}

// The whole thing, with phases that are shorter than a person would like.
func TestDemo(t *testing.T) {
	exe, tmp := buildEastway(t)
	file := filepath.Join(t.TempDir(), "demo.json")
	out, err := demoCommand(t, exe, tmp, "--pace", "0.4", "--json", file).CombinedOutput()
	if err != nil {
		t.Errorf("eastway demo: %v\n%s", err, out)
	}
	demoLeftNothing(t, exe, tmp)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report demo.Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	if !report.OK || report.Total.Failed != report.Total.Expected || report.Total.ExecutedTwice != 0 {
		t.Errorf("not a good run:\n%s", data)
	}
	rows := make(map[string]demo.PhaseReport)
	for _, p := range report.Phases {
		rows[p.Name] = p
		if p.Sent == 0 || !bytes.Contains(out, []byte("\n"+p.Name+" ")) {
			t.Errorf("%s: %d sent, or no row in the table", p.Name, p.Sent)
		}
	}
	// "repaired" and "continued" may end with requests in flight when the next phase kills.
	for _, name := range []string{"healthy", "one mockb broken", "region's mockb broken"} {
		if p, ok := rows[name]; !ok || p.Failed != 0 {
			t.Errorf("%s: failed %d, want a row and none", name, p.Failed)
		}
	}
	// A kill may meet no request in flight; what shows it is that calls went elsewhere, and were saved.
	if rows["peer silent"].Failed == 0 {
		t.Error("peer silent: nothing failed, so there was no fault")
	}
	if s := report.Saved; s.AfterFailure == 0 || s.Elsewhere == 0 || s.AfterFailure+s.Elsewhere >= s.Calls ||
		!bytes.Contains(out, []byte(s.String())) {
		t.Errorf("saved: %+v, or no such line", s)
	}
	if p := rows["region's mockb broken"]; p.CrossedCalls*10 < p.AllCalls*3 {
		t.Errorf("%d of %d calls crossed the tunnel, want 30 %%", p.CrossedCalls, p.AllCalls)
	}
	for _, name := range []string{"one mockb broken", "region's mockb broken", "repaired", "zone's proxies killed", "peer silent", "back"} {
		if rows[name].FirstElsewhere == nil {
			t.Errorf("%s: no time to the first answer", name)
		}
	}
}

func TestDemoInterrupted(t *testing.T) {
	exe, tmp := buildEastway(t)
	for at, sig := range map[string]os.Signal{
		"$ eastway peer export":          os.Interrupt,
		"starting 20 processes":          syscall.SIGTERM,
		"== one mockb broken":            os.Interrupt,
		"the peer's proxies are stopped": os.Interrupt,
	} {
		t.Run(at, func(t *testing.T) {
			cmd := demoCommand(t, exe, tmp, "--pace", "0.05")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var problem strings.Builder
			cmd.Stderr = &problem
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines, sent := bufio.NewScanner(stdout), false
			for lines.Scan() {
				if strings.Contains(lines.Text(), at) && !sent {
					sent = true
					// Twice: impatience must not leave anything behind either.
					if err := errors.Join(cmd.Process.Signal(sig), cmd.Process.Signal(sig)); err != nil {
						t.Error(err)
					}
				}
			}
			err = cmd.Wait()
			if !sent || cmd.ProcessState.ExitCode() != command.Failure || !strings.Contains(problem.String(), "interrupted") {
				t.Errorf("sent %v, ended with %v: %s", sent, err, &problem)
			}
			demoLeftNothing(t, exe, tmp)
		})
	}
}
