package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	postgresPort = "5432"
	// postgresRole is the role that connections have, and the user that runs servers when the test runs as root.
	postgresRole = "postgres"
	// mostCancels is how often a query is canceled: half of the requests meet it, so that more fail one run in a million.
	mostCancels = 20
	// cancelTime is how long a query may live on after a request to cancel it before the next one.
	cancelTime = time.Second
)

// postgresProgram is the path of a program of the newest installed server, which Debian keeps out of the PATH.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	must(t, err)
	if len(found) == 0 {
		t.Fatalf("%s is not installed: apt-get install postgresql", name)
	}
	return slices.Max(found)
}

// startPostgres runs servers of one database cluster each, at addresses of their own, until the test ends.
func startPostgres(t *testing.T, n int) (addresses []string) {
	t.Helper()
	initdb, server := postgresProgram(t, "initdb"), postgresProgram(t, "postgres")
	dir, err := os.MkdirTemp("", "eastway-postgres-") //nolint:usetesting // that of the test is closed to other users
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	as := unprivileged(t, dir)
	first := filepath.Join(dir, "0")
	made := exec.CommandContext(t.Context(), initdb, "--pgdata", first, "--auth=trust", "--username", postgresRole, "--no-locale", "--no-sync")
	made.Dir, made.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as}
	if out, err := made.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	for i := 1; i < n; i++ {
		copied := exec.CommandContext(t.Context(), "cp", "-r", first, filepath.Join(dir, strconv.Itoa(i)))
		copied.SysProcAttr = &syscall.SysProcAttr{Credential: as}
		must(t, copied.Run())
	}
	for i := range n {
		ip := newAddress()
		p := startAs(t, as, t.TempDir(), "postgres", server, "-D", filepath.Join(dir, strconv.Itoa(i)),
			"-c", "listen_addresses="+ip, "-c", "port="+postgresPort, "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=1MB")
		p.stop = syscall.SIGINT // SIGTERM would wait for clients
		at := net.JoinHostPort(ip, postgresPort)
		await(t, p, []hop{{at: at}})
		addresses = append(addresses, at)
	}
	return addresses
}

// unprivileged is the user that owns dir from now on: nil unless the test runs as root, as whom PostgreSQL does not run.
func unprivileged(t *testing.T, dir string) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(postgresRole)
	if err != nil {
		t.Fatalf("%v: apt-get install postgresql makes it", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	must(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	must(t, err)
	must(t, os.Chown(dir, int(uid), int(gid)))
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// psql runs a statement at one of some hosts, and returns its output.
func psql(t *testing.T, sql string, hosts ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program(t, "psql", "postgresql-client"), "-XAtc", sql, conninfo(hosts...)).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// conninfo has clients try hosts in that order.
func conninfo(hosts ...string) string {
	var names, ports []byte
	for i, h := range hosts {
		name, port, _ := net.SplitHostPort(h)
		if i > 0 {
			names, ports = append(names, ','), append(ports, ',')
		}
		names, ports = append(names, name...), append(ports, port...)
	}
	return fmt.Sprintf("host=%s port=%s user=%s dbname=postgres sslmode=disable", names, ports, postgresRole)
}

// testCancel: psql asks on a second connection to cancel a query, which has to come to the same of two servers. Where nothing keeps a
// client's connections together, that is so for one in two. It returns how often the first request was enough.
func testCancel(t *testing.T, s service, most int) (first int) {
	t.Helper()
	const queries = 12
	for range queries {
		switch n := cancel(t, s.near, most); {
		case n > most:
			t.Fatalf("a query was still running after %d requests to cancel it", most)
		case n == 1:
			first++
		}
	}
	return first
}

// cancel returns how many requests it took to cancel a query.
func cancel(t *testing.T, at string, most int) (requests int) {
	t.Helper()
	var out lines
	sql := "do $$ begin raise notice 'running'; perform pg_sleep(3600); end $$"
	cmd := exec.CommandContext(t.Context(), program(t, "psql", "postgresql-client"), "-XAtc", sql, conninfo(at))
	cmd.Stderr = &out
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			<-ended
		}
	}()
	late := time.After(patience)
	for !out.has("running") {
		select {
		case err := <-ended:
			t.Fatalf("psql: %v\n%s", err, out.String())
		case <-late:
			t.Fatalf("the query did not begin within %s", patience)
		case <-time.After(glance):
		}
	}
	for n := 1; n <= most; n++ {
		must(t, cmd.Process.Signal(os.Interrupt))
		wait := cancelTime
		if most == 1 {
			wait = patience // it has to be enough
		}
		select {
		case <-ended:
			if !out.has("canceling statement due to user request") {
				t.Fatalf("psql: %s", out.String())
			}
			return n
		case <-time.After(wait):
		}
	}
	return most + 1
}

// lines is what a program prints.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String implements fmt.Stringer.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) has(text string) bool { return strings.Contains(l.String(), text) }
