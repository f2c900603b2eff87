package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/need"
)

// signaled is a proxy in a process of its own, with a service that has an endpoint.
type signaled struct {
	*child
	*proxyRun
	vip, log string
}

func startSignaled(t *testing.T) *signaled {
	t.Helper()
	s := newSite(t, "aa")
	p := &signaled{vip: newAddress(), log: filepath.Join(s.dir, "access.log")}
	app := newAddress()
	startApp(t, "app", app)
	s.write(t, "shop.yaml", serviceManifest("shop", p.vip, endpoint{app, "aa-1"}))
	p.child = startChild(t, false, s.flags("--access-log", p.log)...)
	p.proxyRun = &proxyRun{site: s, ended: make(chan struct{})}
	eventually(t, "the proxy is ready", func() error { return p.readyz(t) })
	return p
}

// mustLog makes a call, and awaits its line in the access log.
func (p *signaled) mustLog(t *testing.T) {
	t.Helper()
	before := lineCount(p.log)
	mustCall(t, p.vip, "app")
	eventually(t, "the call is in the access log", func() error {
		if lineCount(p.log) <= before {
			return errors.New("it is not")
		}
		return nil
	})
}

// lineCount is 0 for a file that is not there.
func lineCount(file string) int {
	data, _ := os.ReadFile(file)
	return bytes.Count(data, []byte("\n"))
}

// SIGHUP and SIGUSR1 have a proxy reopen the access log, and read configuration and certificates anew.
func TestSignalsReopenTheAccessLog(t *testing.T) {
	t.Parallel()
	p := startSignaled(t)
	p.mustLog(t)
	for i, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1} {
		rotated, want := fmt.Sprintf("%s.%d", p.log, i+1), lineCount(p.log)+1
		if err := os.Rename(p.log, rotated); err != nil {
			t.Fatal(err)
		}
		mustCall(t, p.vip, "app") // goes to the file that is open
		eventually(t, "the old file has the call", func() error {
			if n := lineCount(rotated); n != want {
				return fmt.Errorf("%d lines, want %d", n, want)
			}
			return nil
		})
		if err := p.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a new file is there", func() error { _, err := os.Stat(p.log); return err })
		p.mustLog(t)
		if n := lineCount(rotated); n != want {
			t.Errorf("%v: %d lines in the old file, want %d", s, n, want)
		}
	}
	if n := len(p.child.stderr.lines(t, map[string]any{"msg": "reading files anew because of a signal"})); n != 2 {
		t.Errorf("%d lines of the log name a signal", n)
	}
}

// endingSignals are those that end or stop the process on purpose, or that a Go program cannot catch.
func endingSignals() map[syscall.Signal]bool {
	ending := map[syscall.Signal]bool{
		16: true,                     // SIGSTKFLT, of a fault
		32: true, 33: true, 34: true, // Go leaves them to the C library
	}
	for _, s := range []syscall.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, // on purpose
		syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGTRAP, // with a dump of all goroutines
		syscall.SIGILL, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSYS,
		syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU,
	} {
		ending[s] = true
	}
	return ending
}

// No other signal ends a proxy, or drops a connection; SIGTERM drains it after all.
func TestSignalsDoNotEndAProxy(t *testing.T) {
	t.Parallel()
	p := startSignaled(t)
	c, err := dialService(t, p.vip)
	if err != nil {
		t.Fatal(err)
	}
	ending, sent := endingSignals(), 0
	const last = 64 // real-time signals included
	for s := syscall.Signal(1); s <= last; s++ {
		if ending[s] {
			continue
		}
		if err := p.Process.Signal(s); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		if got, err := c.ask(s.String()); err != nil || got != "app" {
			t.Fatalf("after %v: answered by %q, %v", s, got, err)
		}
		sent++
	}
	if sent < last/2 {
		t.Errorf("only %d signals were sent", sent)
	}
	_ = c.Close()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if state := p.child.wait(t); state.ExitCode() != command.OK {
		t.Errorf("SIGTERM: %v", state)
	}
}

// documentedRotation is the configuration of logrotate in docs/operations.md, for that file.
func documentedRotation(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/var/log/eastway/access.log"
	m := regexp.MustCompile("(?s)```\n(" + regexp.QuoteMeta(path) + ` \{.*?)` + "```").FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("docs/operations.md has no configuration of logrotate")
	}
	return strings.ReplaceAll(m[1], path, file)
}

// rotations rotate the access log by the documented configuration.
func rotations() map[string]func(t *testing.T, config, file string) *exec.Cmd {
	return map[string]func(t *testing.T, config, file string) *exec.Cmd{
		"its script": func(t *testing.T, config, file string) *exec.Cmd {
			t.Helper()
			m := regexp.MustCompile(`(?s)postrotate\n(.*?)\n\s*endscript`).FindStringSubmatch(config)
			if m == nil {
				t.Fatal("no script")
			}
			if err := os.Rename(file, file+".1"); err != nil {
				t.Fatal(err)
			}
			return exec.CommandContext(t.Context(), "sh", "-c", m[1])
		},
		"logrotate": func(t *testing.T, config, file string) *exec.Cmd {
			t.Helper()
			program := need.Program(t, "logrotate", "logrotate")
			name := filepath.Join(filepath.Dir(file), "logrotate.conf")
			if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			return exec.CommandContext(t.Context(), program, "--force", "--state", name+".state", name)
		},
	}
}

// The documented configuration of logrotate rotates the access log of a running proxy, and no line is lost.
func TestDocumentedRotation(t *testing.T) {
	t.Parallel()
	for name, rotate := range rotations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startSignaled(t)
			p.mustLog(t)
			cmd := rotate(t, documentedRotation(t, p.log), p.log)
			// What systemctl does with the unit's main process.
			bin := t.TempDir()
			script := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = 'kill --signal=HUP eastway.service' ] || exit 1\nkill -HUP %d\n", p.Process.Pid)
			if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			eventually(t, "a new file is there", func() error { _, err := os.Stat(p.log); return err })
			p.mustLog(t)
			if old := lineCount(p.log + ".1"); old != 1 || lineCount(p.log) != 1 {
				t.Errorf("%d lines in the old file, %d in the new one", old, lineCount(p.log))
			}
		})
	}
}
