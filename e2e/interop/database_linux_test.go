package interop

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDatabase: PostgreSQL with two servers, and programs that go elsewhere when a service has no endpoint.
func TestDatabase(t *testing.T) {
	t.Parallel()
	servers := startPostgres(t, 2)
	database := newService("database", "tcp", servers[0])
	database.others = servers[1:]
	sticky := newService("sticky", "tcp", servers[0])
	sticky.others, sticky.policy = servers[1:], "loadBalancer: {consistentHash: {useSourceIp: true}}"
	vacant := newService("vacant", "tcp", "")
	w := newWorld(t, database, sticky, vacant)

	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		t.Logf("the first request canceled %d of 12 queries", testCancel(t, database, mostCancels))
	})
	t.Run("cancel with affinity", func(t *testing.T) {
		t.Parallel()
		t.Logf("the first request canceled %d of 12 queries", testCancel(t, sticky, 1))
	})
	t.Run("vacant", func(t *testing.T) {
		t.Parallel()
		eventually(t, "callers are refused", w.proxies[0], func() error {
			conn, err := net.Dial("tcp", vacant.near)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("dial: %w", err)
			}
			return nil
		})
		t.Run("psql with two hosts", func(t *testing.T) { testHosts(t, vacant, database) })
		t.Run("nginx with a backup", func(t *testing.T) { testBackup(t, vacant) })
		t.Run("haproxy", func(t *testing.T) { testDown(t, vacant) })
	})
}

// testHosts: psql takes the second host.
func testHosts(t *testing.T, vacant, database service) {
	const calls = 20
	good := 0
	for range calls {
		out, err := psql(t, "select 6 * 7", vacant.near, database.near)
		if err == nil && out == "42" {
			good++
		} else {
			t.Logf("psql: %v\n%s", err, out)
		}
	}
	if t.Logf("%d of %d succeeded", good, calls); good != calls {
		t.Fail()
	}
}

// testBackup: nginx sends a POST to the backup, as nothing took it before.
func testBackup(t *testing.T, vacant service) {
	const calls = 20
	backup := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "backup") }))
	at := configuredNginx(t, fmt.Sprintf(`upstream to { server %s max_fails=0; server %s backup; }
server { listen AT; location / { proxy_pass http://to; } }`, vacant.near, backup))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	good := 0
	for range calls {
		resp, err := client.Post("http://"+at+"/", "text/plain", strings.NewReader("a body"))
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			good++
		}
	}
	if t.Logf("the backup answered %d of %d POSTs", good, calls); good != calls {
		t.Fail()
	}
}

// testDown: the checks of haproxy find that nothing serves.
func testDown(t *testing.T, vacant service) {
	stats := newHop("").at
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "haproxy.cfg"), fmt.Appendf(nil, `defaults
	mode http
	timeout connect 1m
	timeout client 1m
	timeout server 1m
frontend stats
	bind %s
	stats enable
	stats uri /
backend to
	server one %s check inter 100ms fall 2
`, stats, vacant.near), 0o600))
	p := start(t, dir, "haproxy", program(t, "haproxy", "haproxy"), "-db", "-f", "haproxy.cfg")
	await(t, p, []hop{{at: stats}})
	eventually(t, "haproxy says DOWN", p, func() error {
		for line := range strings.Lines(get(t, "http://"+stats+"/;csv")) {
			if strings.HasPrefix(line, "to,one,") {
				if strings.Contains(line, ",DOWN,") {
					return nil
				}
				return errors.New(line)
			}
		}
		return errors.New("no line for the server")
	})
}
