package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// benchConns is how many connections stay open.
	benchConns = 32
	// benchBytes of each answer.
	benchBytes = 1 << 10
	// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 everywhere.
	clockTick = 10 * time.Millisecond
)

// BenchmarkKeepAlive is a request and 1 KiB of answer on connections that stay, through two proxies with mutual TLS between them:
// Eastway's, request by request and as bytes, and nginx', which keep their connections, too. It reports the CPU time of both proxies for
// each request; the client and the endpoint are the same for all.
func BenchmarkKeepAlive(b *testing.B) {
	h2load := program(b, "h2load", "nghttp2-client")
	endpoint := startEndpoint(b)
	http, tcp := newService("http", "http", endpoint), newService("tcp", "tcp", endpoint)
	w := &world{}
	w.up(b, http, tcp)
	near, pair := startNginxPair(b, endpoint)
	for _, c := range []struct {
		name, at string
		proxies  [2]*process
	}{
		{"eastway HTTP", http.near, w.proxies},
		{"eastway TCP", tcp.near, w.proxies},
		{"nginx HTTP", near, pair},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := max(b.N, benchConns)
			before := cpu(b, c.proxies)
			out := output(b, "", h2load, "--h1", "-n", strconv.Itoa(n), "-c", strconv.Itoa(benchConns), "http://"+c.at+"/")
			spent := cpu(b, c.proxies) - before
			if !strings.Contains(out, fmt.Sprintf("%d 2xx, 0 3xx, 0 4xx, 0 5xx", n)) {
				b.Errorf("%s", out)
			}
			b.ReportMetric(float64(spent.Microseconds())/float64(n), "proxy-µs/op")
		})
	}
}

// cpu is the time that both have computed.
func cpu(b *testing.B, proxies [2]*process) (sum time.Duration) {
	b.Helper()
	for _, p := range proxies {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		must(b, err)
		// The second field is the name in parentheses, in which may be anything.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		const user, system = 11, 12 // fields 14 and 15 of proc(5)
		for _, field := range [][]byte{fields[user], fields[system]} {
			ticks, err := strconv.ParseInt(string(field), 10, 64)
			must(b, err)
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum
}

// startEndpoint has nginx answer each request.
func startEndpoint(b *testing.B) (address string) {
	b.Helper()
	address = net.JoinHostPort(newAddress(), servicePort)
	runNginx(b, "endpoint", address, fmt.Sprintf("server { listen %s; location / { return 200 %s; } }", address, strings.Repeat("x", benchBytes)))
	return address
}

// startNginxPair has two proxies of nginx, and returns where the near one listens.
func startNginxPair(b *testing.B, endpoint string) (at string, pair [2]*process) {
	b.Helper()
	dir := b.TempDir()
	writeCertificates(b, dir)
	near, far := net.JoinHostPort(newAddress(), servicePort), net.JoinHostPort(newAddress(), tunnelPort)
	const upstream = "upstream next { server %s; keepalive 64; keepalive_requests 1000000; }\n"
	pair[1] = runNginx(b, "far", far, fmt.Sprintf(upstream+`server {
listen %s ssl;
ssl_protocols TLSv1.3;
ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
ssl_certificate %s/leaf.crt;
ssl_certificate_key %[3]s/leaf.key;
ssl_client_certificate %[3]s/ca.crt;
ssl_verify_client on;
location / { proxy_pass http://next; }
}`, endpoint, far, dir))
	pair[0] = runNginx(b, "near", near, fmt.Sprintf(upstream+`server {
listen %s;
proxy_ssl_protocols TLSv1.3;
proxy_ssl_certificate %s/leaf.crt;
proxy_ssl_certificate_key %[3]s/leaf.key;
proxy_ssl_trusted_certificate %[3]s/ca.crt;
proxy_ssl_verify on;
proxy_ssl_name leaf;
location / { proxy_pass https://next; }
}`, far, near, dir))
	return near, pair
}

// runNginx runs one process of nginx until the test ends, and returns when it listens.
func runNginx(b *testing.B, name, at, servers string) *process {
	b.Helper()
	dir := b.TempDir()
	var conf strings.Builder
	conf.WriteString("daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr crit;\nevents {}\nhttp {\naccess_log off;\n")
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&conf, "%s_temp_path %s;\n", kind, kind)
	}
	conf.WriteString("keepalive_requests 1000000;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n" + servers + "\n}\n")
	must(b, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf.String()), 0o600))
	p := start(b, dir, name, program(b, "nginx", "nginx"), "-p", dir, "-c", "nginx.conf", "-e", "stderr")
	eventually(b, name+" listens", p, func() error {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return p
}

// writeCertificates makes ca.crt, and leaf.crt for both sides with its key.
func writeCertificates(b *testing.B, dir string) {
	b.Helper()
	issue := func(name string, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		must(b, err)
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		must(b, os.WriteFile(filepath.Join(dir, name+".crt"), block, 0o600))
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(b, err)
		return key
	}
	caKey, key := newKey(), newKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: []string{"leaf"}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issue("ca", ca, ca, caKey, caKey)
	issue("leaf", leaf, ca, key, caKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(b, err)
	must(b, os.WriteFile(filepath.Join(dir, "leaf.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
