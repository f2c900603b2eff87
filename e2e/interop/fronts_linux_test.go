package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hop is a place of nginx or haproxy: where it listens, and what it passes requests on to.
type hop struct{ at, to string }

func newHop(to string) hop { return hop{net.JoinHostPort(newAddress(), servicePort), to} }

// startNginx has nginx at these places until the test ends. It keeps one connection to each next hop, so that what is left on it meets
// the next request.
func startNginx(t *testing.T, hops ...hop) {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\nevents {}\nhttp {\naccess_log off;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s;\n", kind, kind)
	}
	b.WriteString(`proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_request_buffering off;
proxy_ignore_client_abort on;
proxy_next_upstream off;
`)
	for i, h := range hops {
		fmt.Fprintf(&b, "upstream to%d { server %s max_fails=0; keepalive 1; }\n", i, h.to)
		fmt.Fprintf(&b, "server { listen %s; location / { proxy_pass http://to%d; } }\n", h.at, i)
	}
	b.WriteString("}\n")
	must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(b.String()), 0o600))
	nginx := program(t, "nginx", "nginx")
	await(t, start(t, dir, "nginx", nginx, "-p", dir, "-c", "nginx.conf", "-e", "stderr"), hops)
}

// startHAProxy does the same with haproxy.
func startHAProxy(t *testing.T, hops ...hop) {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(`defaults
	mode http
	timeout connect 1m
	timeout client 1m
	timeout server 1m
	retries 0
	http-reuse always
`)
	for i, h := range hops {
		fmt.Fprintf(&b, "frontend at%[1]d\n\tbind %[2]s\n\tdefault_backend to%[1]d\n", i, h.at)
		fmt.Fprintf(&b, "backend to%d\n\tserver one %s pool-max-conn 1\n", i, h.to)
	}
	must(t, os.WriteFile(filepath.Join(dir, "haproxy.cfg"), []byte(b.String()), 0o600))
	await(t, start(t, dir, "haproxy", program(t, "haproxy", "haproxy"), "-db", "-f", "haproxy.cfg"), hops)
}

// await until the process listens at all places.
func await(t *testing.T, p *process, hops []hop) {
	t.Helper()
	for _, h := range hops {
		eventually(t, p.name+" listens", p, func() error {
			conn, err := net.Dial("tcp", h.at)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
}
