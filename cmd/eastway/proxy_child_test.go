package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/command"
	"github.com/eastway/eastway/internal/need"
)

// A user without rights, as far as there is a choice: tests that run as such a user already stay that one.
const nobody = 65534

// child is a process of this binary that is `eastway ARGS`.
type child struct {
	*exec.Cmd
	stdout, stderr *record
	ended          chan struct{} // then ProcessState is set
}

// startChild starts the command; it is killed when the test ends.
func startChild(t *testing.T, unprivileged bool, args ...string) *child {
	t.Helper()
	// The link is followed after the user has changed, who could not get into go test's own directory.
	return startProgram(t, unprivileged, "/proc/self/exe", args...)
}

// startProgram is startChild for a program that becomes this binary.
func startProgram(t *testing.T, unprivileged bool, path string, args ...string) *child {
	t.Helper()
	c := &child{stdout: &record{}, stderr: &record{}, ended: make(chan struct{})}
	c.Cmd = exec.CommandContext(t.Context(), path, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	c.Stdout, c.Stderr = c.stdout, c.stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if unprivileged && os.Geteuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		c.Dir = "/"
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-c.ended
		if t.Failed() {
			t.Logf("log of the child:\n%s", c.stderr)
		}
	})
	return c
}

func (c *child) wait(t *testing.T) *os.ProcessState {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		t.Fatal("child did not end")
	}
	return c.ProcessState
}

// openSite is a site in a directory that can be given to that user.
func openSite(t *testing.T, name string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "eastway-test-") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(path, 0o700)
			}
			return err
		}), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return newSiteIn(t, dir, name)
}

// give makes that user the owner of everything of the site.
func (s *site) give(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// needPrivilegedPorts is for tests of a port that a user may not bind: containers often let every user bind every port.
func needPrivilegedPorts(t *testing.T) {
	t.Helper()
	first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(first)) == "0" {
		need.Missing(t, "every user may bind every port here: sysctl -w net.ipv4.ip_unprivileged_port_start=1024")
	}
}

// The user may not bind port 80: that service is not served, the others are, and the log names the cause and the remedy.
func TestNoPermissionToBind(t *testing.T) {
	t.Parallel()
	needPrivilegedPorts(t)
	s := openSite(t, "aa")
	vip, web, app := newAddress(), newAddress(), newAddress()
	startApp(t, "app", app)
	s.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	s.write(t, "web.yaml", strings.ReplaceAll(serviceManifest("web", web, endpoint{app, "aa-1"}), servicePort, "80"))
	s.give(t)
	startChild(t, true, s.flags()...)
	p := &proxyRun{site: s, ended: make(chan struct{})}
	eventually(t, "the proxy is ready", func() error { return p.readyz(t) })
	mustCall(t, vip, "app")
	text := mustRun(t, "status", "--admin", s.admin())
	for _, want := range []string{web + ":80", "default/web", "permission denied", "CAP_NET_BIND_SERVICE"} {
		if !strings.Contains(text, want) {
			t.Errorf("status does not say %q:\n%s", want, text)
		}
	}
}

// A privileged port for tunnels or the admin listener ends the start.
func TestNoPermissionToBindOwnPorts(t *testing.T) {
	t.Parallel()
	needPrivilegedPorts(t)
	for flag, remedy := range map[string]string{"--listen": "CAP_NET_BIND_SERVICE", "--admin": "choose one above 1023"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, "aa")
			s.give(t)
			c := startChild(t, true, s.flags(flag, s.ip+":80")...)
			if code := c.wait(t).ExitCode(); code != command.Failure {
				t.Errorf("exit code %d, want %d", code, command.Failure)
			}
			for _, want := range []string{s.ip + ":80", "permission denied", remedy} {
				if !strings.Contains(c.stderr.String(), want) {
					t.Errorf("the error does not say %q: %s", want, c.stderr)
				}
			}
		})
	}
}

// A directory of manifests that cannot be read is not one that is missing.
func TestUnreadableConfig(t *testing.T) {
	t.Parallel()
	s := openSite(t, "aa")
	s.give(t)
	closed := filepath.Join(s.dir, "closed")
	if err := os.Mkdir(closed, 0o300); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, true, s.flags("--config", closed)...)
	if code := c.wait(t).ExitCode(); code != command.Usage {
		t.Errorf("exit code %d, want %d", code, command.Usage)
	}
	text := c.stderr.String()
	if !strings.Contains(text, "--config: open "+closed+": permission denied (user ") || strings.Contains(text, "create the directory") ||
		!strings.Contains(text, fmt.Sprintf("there, %s is of user %d and has mode 0300: ", closed, os.Geteuid())) {
		t.Errorf("the error: %s", text)
	}
}

// A state directory that cannot be written stops the start only if something has to be made there.
func TestReadOnlyState(t *testing.T) {
	t.Parallel()
	s := openSite(t, "aa")
	s.give(t)
	state := filepath.Join(s.dir, "state")
	if err := os.Mkdir(state, 0o555); err != nil {
		t.Fatal(err)
	}
	c := startChild(t, true, s.flags("--ca", "", "--state", state)...)
	if code := c.wait(t).ExitCode(); code != command.Failure {
		t.Errorf("exit code %d, want %d", code, command.Failure)
	}
	uid := os.Geteuid()
	if uid == 0 {
		uid = nobody
	}
	for _, want := range []string{
		filepath.Join(state, "ca"), "permission denied",
		fmt.Sprintf("user %d may not do that there, %s is of user %d and has mode 0555: correct owner or mode, or choose another directory",
			uid, state, os.Geteuid()), "--state",
	} {
		if !strings.Contains(c.stderr.String(), want) {
			t.Errorf("the error does not say %q: %s", want, c.stderr)
		}
	}

	if err := os.Chmod(s.ca, 0o500); err != nil {
		t.Fatal(err)
	}
	startChild(t, true, s.flags("--state", state)...)
	p := &proxyRun{site: s, ended: make(chan struct{})}
	eventually(t, "a proxy with a CA that it can read is ready", func() error { return p.readyz(t) })
}
