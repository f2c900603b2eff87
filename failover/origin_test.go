package failover

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/originate/origintest"
	"github.com/eastway/eastway/internal/status"
)

const mydb = "mydb.test"

// outside makes the service one outside all clusters, whose endpoints get TLS.
func outside(ca *origintest.Authority) setup {
	return func(w *world, _ *Config) {
		w.service.External = &discovery.External{Hosts: []string{mydb}, TLS: &discovery.TLS{
			Service: echoName, Mode: v1alpha1.TLSSimple, Host: mydb, CAFile: ca.File(w.t),
		}}
	}
}

// named has an endpoint at an address of a DNS name.
func named(at netip.AddrPort, host string, l locality) setup {
	e := endpoint(at, l)
	e.Host = host
	return endpoints(e)
}

// secureWeb is a web server with TLS, for HTTP/1.1 and HTTP/2.
func secureWeb(t testing.TB, c *tls.Config, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	return webOf(t, &http.Server{Handler: h, TLSConfig: c.Clone(), ErrorLog: zap.NewStdLog(zap.NewNop())})
}

// secured serves connections with TLS.
func secured(t testing.TB, c *tls.Config, behave func(c *tls.Conn)) netip.AddrPort {
	t.Helper()
	return backend(t, func(raw *net.TCPConn) {
		conn := tls.Server(raw, c)
		if err := conn.HandshakeContext(t.Context()); err != nil {
			_ = conn.Close()
			return
		}
		behave(conn)
	})
}

func presents(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// What applications send plain reaches the endpoint over TLS: requests in the version of HTTP that the client has, and bytes as they are.
func TestOriginateTLS(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	cert := ca.Issue(t, time.Now().Add(time.Hour), mydb, "east."+mydb)
	sees := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s to %s, %s for %s", r.Proto, r.Host, r.TLS.NegotiatedProtocol, r.TLS.ServerName)
	}
	w := newWorld(t, overHTTP, outside(ca), named(secureWeb(t, presents(cert), sees), "east."+mydb, here))
	at := netip.AddrPortFrom(w.service.Addresses[0], servicePort).String()
	if code, answer, _ := w.send(http.MethodPost, "/", "body"); code != 200 || answer != "HTTP/1.1 to "+at+", http/1.1 for east."+mydb {
		t.Errorf("HTTP/1.1: %d %s", code, answer)
	}
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	if code, answer, _ := w.sendBy(&http.Client{Transport: h2}, http.MethodPost, "/", "body"); code != 200 ||
		answer != "HTTP/2.0 to "+at+", h2 for east."+mydb {
		t.Errorf("HTTP/2: %d %s", code, answer)
	}
	raw := newWorld(t, outside(ca), endpoints(endpoint(secured(t, presents(cert), func(c *tls.Conn) {
		text, _ := io.ReadAll(c) // to close_notify
		_, _ = io.WriteString(c, "got "+string(text))
		_ = c.CloseWrite()
	}), here)))
	if got, err := raw.ask("all"); err != nil || got != "got all" {
		t.Errorf("TCP: %q, %v", got, err)
	}
	if line := raw.line(); line["result"] != "ok" {
		t.Errorf("logged %v", line)
	}
}

// A connection is kept for the next request, and one whose endpoint has ended it is not used.
func TestOriginateKeepsConnections(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	at := secureWeb(t, presents(ca.Issue(t, time.Now().Add(time.Hour), mydb)), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	})
	w := newWorld(t, overHTTP, outside(ca), endpoints(endpoint(at, here)))
	seen := map[string]bool{}
	for range 20 {
		code, answer, _ := w.send(http.MethodPost, "/", "x")
		if code != 200 {
			t.Fatal(code)
		}
		seen[answer] = true
	}
	if len(seen) != 1 {
		t.Errorf("20 requests took %d connections", len(seen))
	}
}

// An endpoint with which there is no TLS fails as one that does not connect: the next one is called, it is ejected after three failures, and
// the access log and the metrics say why. No call fails.
func TestOriginateFails(t *testing.T) {
	t.Parallel()
	ca, other := origintest.New(t), origintest.New(t)
	later := time.Now().Add(time.Hour)
	closesAtOnce := func(c *net.TCPConn) { _ = c.Close() }
	for name, c := range map[string]struct {
		bad    func(t *testing.T) netip.AddrPort
		reason string
	}{
		"expired": {func(t *testing.T) netip.AddrPort {
			return secured(t, presents(ca.Issue(t, time.Now().Add(-time.Minute), mydb)), nil)
		}, "expired"},
		"for another name": {func(t *testing.T) netip.AddrPort { return secured(t, presents(ca.Issue(t, later, "x.test")), nil) }, "other_name"},
		"of an authority unknown": {func(t *testing.T) netip.AddrPort {
			return secured(t, presents(other.Issue(t, later, mydb)), nil)
		}, "unknown_authority"},
		"TLS 1.1": {func(t *testing.T) netip.AddrPort {
			return secured(t, &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, later, mydb)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
			}, nil)
		}, "protocol"},
		"a client certificate wanted": {func(t *testing.T) netip.AddrPort {
			return secured(t, &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, later, mydb)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
			}, func(c *tls.Conn) { _ = c.Close() })
		}, "client_certificate"},
		"no TLS": {func(t *testing.T) netip.AddrPort { return web(t, says("plain")) }, "protocol"},
		"closed": {func(t *testing.T) netip.AddrPort { return backend(t, closesAtOnce) }, "closed"},
		"silent": {func(t *testing.T) netip.AddrPort {
			return backend(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
		}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := c.bad(t)
			good := secureWeb(t, presents(ca.Issue(t, later, mydb)), says("good"))
			w := newWorld(t, overHTTP, outside(ca), endpoints(endpoint(bad, here), endpoint(good, abroad)), policy(&v1alpha1.TrafficPolicySpec{
				ConnectionPool: &v1alpha1.ConnectionPool{TCP: &v1alpha1.TCPSettings{ConnectTimeout: &metav1.Duration{Duration: time.Second}}},
			}))
			for i := range 2 * ejectAfter {
				if code, answer, _ := w.send(http.MethodPost, "/", "x"); code != 200 || answer != "good" {
					t.Fatalf("call %d: %d %s", i, code, answer)
				}
				w.eventually("logged", func() bool { return w.access.Len() == i+1 })
				if c.reason == "timeout" && i < ejectAfter { // is heard out beside the call
					w.eventually("counted", func() bool { return w.log.FilterMessage("no TLS with an endpoint").Len() > 0 })
				}
			}
			if c.reason != "timeout" {
				if got := results(w.line()); !slices.Contains(got, bad.String()+" tls") {
					t.Errorf("attempts %v", got)
				}
			}
			w.eventually("ejected", func() bool {
				return slices.ContainsFunc(w.proxy.Endpoints(echoName), func(e status.Endpoint) bool {
					return e.Address == bad.String() && e.EjectionKind == "local"
				})
			})
			logged := w.log.FilterMessage("no TLS with an endpoint").All()
			if len(logged) == 0 || logged[0].ContextMap()["reason"] != c.reason {
				t.Errorf("logged %v", logged)
			}
		})
	}
}

// An answer that is cut short without the end of TLS is not passed on as whole.
func TestOriginateCutShort(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	at := secured(t, presents(ca.Issue(t, time.Now().Add(time.Hour), mydb)), func(c *tls.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhalf of an ans")
		_ = c.NetConn().(*net.TCPConn).CloseWrite() // a FIN alone
		_, _ = io.Copy(io.Discard, c)
	})
	for name, options := range map[string][]setup{"HTTP": {overHTTP}, "TCP": nil} {
		w := newWorld(t, append(options, outside(ca), endpoints(endpoint(at, here)))...)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.client().Do(req)
		if err != nil {
			continue // as good: there is no answer
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Errorf("%s: %q passed as a whole answer", name, body)
		}
	}
}

// Health checks get TLS as calls do.
func TestOriginateHealthCheck(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	var checks atomic.Int32
	good := secureWeb(t, presents(ca.Issue(t, time.Now().Add(time.Hour), mydb)), func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && r.TLS != nil {
			checks.Add(1)
		}
	})
	expired := secured(t, presents(ca.Issue(t, time.Now().Add(-time.Hour), mydb)), nil)
	one := uint32(1)
	every := &metav1.Duration{Duration: 50 * time.Millisecond}
	for name, check := range map[string]*v1alpha1.HealthCheck{
		"http": {Interval: every, UnhealthyThreshold: &one, HTTP: &v1alpha1.HTTPHealthCheck{Path: "/healthz"}},
		"tcp":  {Interval: every, UnhealthyThreshold: &one},
	} {
		w := newWorld(t, overHTTP, outside(ca), endpoints(endpoint(good, here), endpoint(expired, here)),
			policy(&v1alpha1.TrafficPolicySpec{HealthCheck: check}))
		w.eventually(name+": the expired one fails", func() bool {
			reason := w.catalog.unhealthy(expired)
			return strings.Contains(reason, "TLS: expired")
		})
		if reason := w.catalog.unhealthy(good); reason != "" {
			t.Errorf("%s: the good one fails: %s", name, reason)
		}
	}
	if checks.Load() == 0 {
		t.Error("no check came over TLS")
	}
}

// Many calls at once, over HTTP/1.1, HTTP/2 and TCP, some of which end in the middle.
func TestOriginateConcurrent(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	c := presents(ca.Issue(t, time.Now().Add(time.Hour), mydb))
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}
	requests := newWorld(t, overHTTP, outside(ca), endpoints(endpoint(secureWeb(t, c, echo), here), endpoint(secureWeb(t, c, echo), here)))
	bytesOnly := newWorld(t, outside(ca), endpoints(endpoint(secured(t, c, func(c *tls.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	}), here)))
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(h2.CloseIdleConnections)
	body := strings.Repeat("0123456789abcdef", 4<<10)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				if got, err := bytesOnly.ask(body); err != nil || got != body {
					t.Errorf("TCP: %d bytes, %v", len(got), err)
				}
				return
			case 1:
				call(t, requests.client(), requests.url("/"), body)
			default:
				call(t, &http.Client{Transport: h2}, requests.url("/"), body)
			}
		})
	}
	wg.Wait()
}

func call(t *testing.T, client *http.Client, url, body string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(got, []byte(body)) {
		t.Error(errors.Join(fmt.Errorf("%d bytes, status %d", len(got), resp.StatusCode), err))
	}
}
