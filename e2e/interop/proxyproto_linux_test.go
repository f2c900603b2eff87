package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	pires "github.com/pires/go-proxyproto"

	"github.com/eastway/eastway/failover/proxyproto"
	"github.com/eastway/eastway/internal/need"
)

// TestProxyProtocol: nginx and haproxy learn who called, here and at a peer; PostgreSQL serves both behind haproxy.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	database := startPostgres(t, 1)[0]
	const annotation = "eastway.dev/proxy-protocol: v2"
	here := outsideLoopback(t)
	newService := func(name, endpoint string) service {
		s := newService(name, "tcp", endpoint)
		s.annotation = annotation
		port := unusedPort(t, here)
		s.near, s.far = net.JoinHostPort(here, port), net.JoinHostPort(newAddress(), port)
		return s
	}
	raw := newHeaderReader(t)
	nginx := newService("nginx", startAddressNginx(t))
	haproxy := newService("haproxy", startAddressHAProxy(t, database, false))
	postgres := newService("postgres", startAddressHAProxy(t, database, true))
	header := newService("header", raw.address)
	newWorld(t, nginx, haproxy, postgres, header)

	for _, s := range []service{nginx, haproxy} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, from := range []struct{ name, at string }{{"here", s.far}, {"at a peer", s.near}} {
				caller, seen := askAddress(t, from.at)
				if seen != caller {
					t.Errorf("%s: %s called, the server sees %s", from.name, caller, seen)
				}
			}
		})
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		for _, at := range []string{postgres.far, postgres.near} {
			if out, err := psql(t, "select 6 * 7", at); err != nil || out != "42" {
				t.Errorf("%s: %v: %s", at, err, out)
			}
		}
	})
	t.Run("header", func(t *testing.T) {
		t.Parallel()
		for cluster, at := range map[string]string{"far": header.far, "near": header.near} {
			conn, err := net.Dial("tcp", at)
			must(t, err)
			_, _ = bufio.NewReader(conn).ReadByte() // when it was read
			want := conn.LocalAddr().String() + " of " + cluster
			must(t, conn.Close())
			if got := raw.read(); !slices.Contains(got, want) {
				t.Errorf("%q called, the endpoint has read %q", want, got)
			}
		}
	})
}

// outsideLoopback is an address of this host by which it is another one: a peer's callers at loopback addresses are not shown. Connections
// to it do not leave the host.
func outsideLoopback(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	need.Missing(t, "this host has no IPv4 address beside loopback: ip address add 192.0.2.1/32 dev lo")
	return ""
}

func unusedPort(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	must(t, err)
	must(t, l.Close())
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// askAddress has a server answer with the address that it sees, and returns the caller's, too.
func askAddress(t *testing.T, at string) (caller, seen string) {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	must(t, err)
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: address\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	return conn.LocalAddr().String(), strings.TrimSpace(line)
}

// startAddressNginx answers with the caller's address, and returns where it listens.
func startAddressNginx(t *testing.T) string {
	t.Helper()
	return configuredNginx(t, `server { listen AT proxy_protocol; location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port\n"; } }`)
}

// configuredNginx starts nginx with these parts of its configuration, in which AT is where it listens, as it returns.
func configuredNginx(t *testing.T, parts string) (at string) {
	t.Helper()
	dir, at := t.TempDir(), newHop("").at
	must(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, `daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events {}
http {
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
%s
}
`, strings.Replace(parts, "AT", at, 1)), 0o600))
	await(t, start(t, dir, "nginx", program(t, "nginx", "nginx"), "-p", dir, "-c", "nginx.conf", "-e", "stderr"), []hop{{at: at}})
	return at
}

// startAddressHAProxy does the same with haproxy; or it passes connections on to the database.
func startAddressHAProxy(t *testing.T, database string, passes bool) string {
	t.Helper()
	dir, at := t.TempDir(), newHop("").at
	serves := "mode http\n\thttp-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port]\\n\""
	if passes {
		serves = "mode tcp\n\tserver one " + database
	}
	must(t, os.WriteFile(filepath.Join(dir, "haproxy.cfg"), fmt.Appendf(nil, `defaults
	timeout connect 1m
	timeout client 1m
	timeout server 1m
listen at
	bind %s accept-proxy
	%s
`, at, serves), 0o600))
	await(t, start(t, dir, "haproxy", program(t, "haproxy", "haproxy"), "-db", "-f", "haproxy.cfg"), []hop{{at: at}})
	return at
}

// headerReader is an endpoint that keeps what headers say.
type headerReader struct {
	address string

	mu   sync.Mutex
	seen []string
}

func newHeaderReader(t *testing.T) *headerReader {
	t.Helper()
	l, err := net.Listen("tcp", newHop("").at)
	must(t, err)
	r := &headerReader{address: l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		running.Wait()
	})
	return r
}

func (r *headerReader) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	h, err := pires.Read(in)
	if err != nil {
		return
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return
	}
	for _, v := range tlvs {
		if v.Type == proxyproto.TypeCluster && h.SourceAddr != nil {
			r.mu.Lock()
			r.seen = append(r.seen, h.SourceAddr.String()+" of "+string(v.Value))
			r.mu.Unlock()
		}
	}
	_, _ = conn.Write([]byte{'\n'})
	_, _ = in.ReadByte()
}

func (r *headerReader) read() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}
