package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/failover/originate/origintest"
)

// region is an endpoint of a managed database: HTTP over TLS, and over TLS on another port a protocol of its own.
type region struct {
	name, ip string
	stop     func()
}

const (
	regionPort = "8443"
	wirePort   = "8444"
)

// openRegion serves until the test ends, or stop is called.
func openRegion(t *testing.T, name, ip string, cert tls.Certificate) *region {
	t.Helper()
	c := &tls.Config{Certificates: []tls.Certificate{cert}}
	web, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(ip, regionPort))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(ip, wirePort))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintf(w, "%s %s", name, r.Proto) }),
		ErrorLog: zap.NewStdLog(zap.NewNop()), TLSConfig: c.Clone(),
	}
	done := make(chan struct{}, 2)
	go func() {
		_ = s.ServeTLS(web, "", "")
		done <- struct{}{}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			conn, err := raw.Accept()
			if err != nil {
				return
			}
			go answerAll(tls.Server(conn, c), name)
		}
	}()
	r := &region{name: name, ip: ip}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_, _ = s.Close(), raw.Close()
		<-done
		<-done
	}
	t.Cleanup(r.stop)
	return r
}

// answerAll answers when the client has ended.
func answerAll(c *tls.Conn, name string) {
	defer c.Close()
	text, err := io.ReadAll(c)
	if err == nil {
		_, _ = io.WriteString(c, name+" "+string(text))
	}
}

// externalManifest is the database with an endpoint in each region; httpPort is that of the first one.
func externalManifest(vip, ca string, one, two *region, httpPort string) string {
	return fmt.Sprintf(`apiVersion: eastway.dev/v1alpha1
kind: ExternalService
metadata: {name: mydb}
spec:
  hosts: [mydb.com]
  addresses: [%[1]s]
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: %[6]s}
  - {number: 5432, name: wire, targetPort: %[7]s}
  endpoints:
  - {address: %[3]s, locality: region-aa, ports: {http: %[5]s}}
  - {address: %[4]s, locality: region-bb}
  tls: {mode: SIMPLE, caCertificates: %[2]s}
---
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: mydb}
spec:
  targetRef: {group: eastway.dev, kind: ExternalService, name: mydb}
  loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {failover: [{from: region-aa, to: region-bb}]}}
  outlierDetection: {consecutive5xxErrors: 1, consecutiveLocalOriginFailures: 1, baseEjectionTime: 1s}
`, vip, ca, one.ip, two.ip, httpPort, regionPort, wirePort)
}

// dbCaller calls the database by HTTP/1.1, HTTP/2 and a protocol of its own.
type dbCaller struct {
	vip   string
	http1 *http.Client
	http2 *http.Client
}

func newDBCaller(t *testing.T, vip string) *dbCaller {
	t.Helper()
	one, two := &http.Transport{DisableKeepAlives: true}, &http.Transport{Protocols: new(http.Protocols)}
	two.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(two.CloseIdleConnections)
	return &dbCaller{vip, &http.Client{Transport: one, Timeout: patience}, &http.Client{Transport: two, Timeout: patience}}
}

// all makes a call of each kind, and fails if one fails or another region answers.
func (c *dbCaller) all(ctx context.Context, region string) error {
	var errs []error
	for proto, client := range map[string]*http.Client{"HTTP/1.1": c.http1, "HTTP/2.0": c.http2} {
		if got, err := c.post(ctx, client); err != nil || got != region+" "+proto {
			errs = append(errs, fmt.Errorf("%s: %q, %w", proto, got, err))
		}
	}
	if got, err := c.wire(ctx); err != nil || got != region+" hello" {
		errs = append(errs, fmt.Errorf("TCP: %q, %w", got, err))
	}
	return errors.Join(errs...)
}

func (c *dbCaller) post(ctx context.Context, client *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.vip+":80/", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func (c *dbCaller) wire(ctx context.Context) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(c.vip, "5432"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	got, err := io.ReadAll(conn)
	return string(got), err
}

// A service outside all clusters has an endpoint in each of two regions, and the proxy adds TLS. Calls stay in the own region while its
// endpoint works. When that has a wrong port, or a certificate that has expired, no call fails, and it is ejected.
func TestExternalService(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	good := ca.Issue(t, time.Now().Add(time.Hour), "mydb.com")
	near := openRegion(t, "near", newAddress(), good)
	far := openRegion(t, "far", newAddress(), good)
	site, vip := newSite(t, "aa"), newAddress()
	file := ca.File(t)
	site.write(t, "mydb.yaml", externalManifest(vip, file, near, far, regionPort))
	p, calls := site.start(t), newDBCaller(t, vip)
	calling := func(what, from string) {
		t.Helper()
		for i := range 10 {
			if err := calls.all(t.Context(), from); err != nil {
				t.Fatalf("%s: call %d: %v", what, i, err)
			}
		}
	}
	calling("both work", "near")

	near.stop()
	expired := openRegion(t, "expired", near.ip, ca.Issue(t, time.Now().Add(-time.Minute), "mydb.com"))
	calling("the certificate has expired", "far")
	if n := p.metric(t, "eastway_failover_tls_failures_total", `reason="expired"`, `service="default/mydb"`); n == 0 {
		t.Error("no handshake is counted as expired")
	}
	p.shows(t, "FAILED", near.ip)
	expired.stop()

	near = openRegion(t, "near", near.ip, good)
	eventually(t, "it has returned", func() error { return calls.all(t.Context(), "near") })

	site.write(t, "mydb.yaml", externalManifest(vip, file, near, far, "8081"))
	eventually(t, "the wrong port is known", func() error {
		for _, e := range p.endpoints(t, "default/mydb") {
			if e.Address == net.JoinHostPort(near.ip, "8081") {
				return nil
			}
		}
		return errors.New("not yet")
	})
	for i := range 10 {
		if got, err := calls.post(t.Context(), calls.http1); err != nil || got != "far HTTP/1.1" {
			t.Fatalf("the port is wrong: call %d: %q, %v", i, got, err)
		}
	}
	p.shows(t, "FAILED", near.ip)
}

// shows waits until an endpoint with the address has that outlier check.
func (p *proxyRun) shows(t *testing.T, check, ip string) {
	t.Helper()
	eventually(t, ip+" has the outlier check "+check, func() error {
		all := p.endpoints(t, "default/mydb")
		for i := range all {
			if host, _, _ := net.SplitHostPort(all[i].Address); host == ip && all[i].OutlierCheck == check {
				return nil
			}
		}
		return fmt.Errorf("%+v", all)
	})
}
