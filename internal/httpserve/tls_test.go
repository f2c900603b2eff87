package httpserve

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// selfSigned is a certificate for both sides.
func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// startTLS serves "ok" on a free port to clients with any certificate.
func startTLS(t testing.TB, cert tls.Certificate, log *zap.Logger) *Server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"},
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server, err := NewTLS(l, config, h, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	return running(t, server)
}

func clientOf(cert tls.Certificate) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
}

// call makes a request on an open connection, and returns whether that ends with the response.
func call(t testing.TB, c net.Conn, answers *bufio.Reader) (ends bool) {
	t.Helper()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || string(body) != "ok\n" {
		t.Fatalf("answered %q, %v", body, err)
	}
	return resp.Close
}

// A connection is bounded in what it takes and how long it lives, and what is no TLS gets no answer and leaves no line in the log.
func TestTLS(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	cert := selfSigned(t)
	server := startTLS(t, cert, zap.New(core))
	address := server.Addr().String()
	c, err := tls.Dial("tcp", address, clientOf(cert))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for range 2 {
		if call(t, c, answers) {
			t.Error("a young connection ends")
		}
	}
	for server.busy() > 0 { // the response may be here before its end is noted there
		runtime.Gosched()
	}
	server.listener.mu.Lock()
	for _, held := range server.listener.conns {
		held.began = time.Now().Add(-tlsConnLife - time.Second)
	}
	server.listener.mu.Unlock()
	if !call(t, c, answers) {
		t.Error("an old connection goes on")
	}
	if _, err := answers.ReadByte(); err != io.EOF {
		t.Errorf("it is not closed: %v", err)
	}
	for what, dial := range map[string]func() error{
		"plain HTTP": func() error {
			plain, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer plain.Close()
			if _, err := io.WriteString(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return err
			}
			all, err := io.ReadAll(plain)
			if strings.Contains(string(all), "ok\n") {
				t.Errorf("answered %q", all)
			}
			return err
		},
		"no certificate": func() error {
			bare, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				return err
			}
			defer bare.Close()
			n, err := bare.Read(make([]byte, 1))
			if err == nil || n != 0 {
				t.Errorf("read %d bytes, %v", n, err)
			}
			return nil
		},
	} {
		if err := dial(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, entry := range logs.All() {
		if entry.Level > zap.DebugLevel {
			t.Errorf("logged %v", entry)
		}
	}
	if logs.FilterMessage("TLS handshake failed").Len() == 0 {
		t.Errorf("logged %v", logs.All())
	}
}

// However many clients never finish a handshake, one that proves itself is served.
func TestStrangersKeepNoAgentOut(t *testing.T) {
	t.Parallel()
	const held = 64
	cert := selfSigned(t)
	server := startTLS(t, cert, zap.NewNop())
	server.listener.mu.Lock()
	server.listener.table.max = held
	server.listener.mu.Unlock()
	for i := range 2 * held {
		beginning := ""
		if i%2 == 0 {
			beginning = "\x16\x03\x01\x02\x00\x01" // half a ClientHello
		}
		dialFrom(t, "127.0.0.3", server.Addr().String(), beginning)
	}
	for range 3 {
		c, err := tls.Dial("tcp", server.Addr().String(), clientOf(cert))
		if err != nil {
			t.Fatal(err)
		}
		call(t, c, bufio.NewReader(c))
		_ = c.Close()
	}
	if n := testutil.ToFloat64(server.listener.evicted); n < held {
		t.Errorf("%v connections made room, of %d too many", n, held)
	}
}

// busy counts the connections that are being served.
func (s *Server) busy() (n int) {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	for held := range s.listener.table.slots {
		if held.busy {
			n++
		}
	}
	return n
}

// Other errors of net/http's server are no secret.
func TestConnErrors(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	var other strings.Builder
	c := &connErrors{log: zap.New(core), other: &other}
	for _, line := range []string{"http: TLS handshake error from 1.2.3.4:5: EOF\n", "http: panic serving 1.2.3.4:5: boom\n"} {
		if n, err := c.Write([]byte(line)); err != nil || n != len(line) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if logs.Len() != 1 || other.String() != "http: panic serving 1.2.3.4:5: boom\n" {
		t.Errorf("%v, %q", logs.All(), other.String())
	}
}

// BenchmarkIdleTLS measures what an idle connection takes, both ends of it.
func BenchmarkIdleTLS(b *testing.B) {
	cert := selfSigned(b)
	server := startTLS(b, cert, zap.NewNop())
	before := heap()
	conns := make([]net.Conn, 0, b.N)
	for range b.N {
		c, err := tls.Dial("tcp", server.Addr().String(), clientOf(cert))
		if err != nil {
			b.Fatal(err)
		}
		call(b, c, bufio.NewReaderSize(c, 16))
		conns = append(conns, c)
	}
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/conn")
	for _, c := range conns {
		_ = c.Close()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
