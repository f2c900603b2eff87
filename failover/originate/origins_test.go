package originate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/originate/origintest"
)

// What an endpoint presents is verified, whatever it is, and what is wrong is said with its reason.
func TestVerify(t *testing.T) {
	t.Parallel()
	ca, other := origintest.New(t), origintest.New(t)
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		spec   discovery.TLS
		host   string
		alpn   string
		server *tls.Config
		want   Reason
		text   string
	}{
		"the endpoint's name": {
			host: "a.mydb.test.", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.mydb.test")}},
		},
		"the first host, where the endpoint is an address": {
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "mydb.test")}},
		},
		"sni": {
			spec: discovery.TLS{SNI: "b.test"}, host: "a.test",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "b.test")}},
		},
		"sni and not the endpoint's name": {
			spec: discovery.TLS{SNI: "b.test"}, host: "a.test",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}},
			want:   OtherName, text: "the certificate is for a.test, expected is b.test",
		},
		"a subject name": {
			spec: discovery.TLS{Names: []string{"x.test", "192.0.2.7"}}, host: "a.test",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "192.0.2.7")}},
		},
		"a URI": {
			spec: discovery.TLS{Names: []string{"spiffe://x/y"}}, host: "a.test",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "spiffe://x/y")}},
		},
		"another URI": {
			spec: discovery.TLS{Names: []string{"spiffe://x/y"}}, host: "a.test",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "spiffe://x/z", "a.test")}},
			want:   OtherName, text: "spiffe://x/z",
		},
		"expired": {
			host: "a.test", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, time.Now().Add(-time.Minute), "a.test")}},
			want: Expired, text: "renew the endpoint's certificate",
		},
		"another name": {
			host: "a.test", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "c.test")}},
			want: OtherName, text: "the certificate is for c.test, expected is a.test",
		},
		"no name": {
			host: "a.test", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later)}},
			want: OtherName, text: "no name",
		},
		"another CA": {
			host: "a.test", server: &tls.Config{Certificates: []tls.Certificate{other.Issue(t, later, "a.test")}},
			want: UnknownAuthority, text: "caCertificates",
		},
		"TLS 1.2": {
			host: "a.test", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}, MaxVersion: tls.VersionTLS12},
		},
		"TLS 1.1": {
			host: "a.test",
			server: &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
			},
			want: Protocol, text: "TLS 1.2 or later",
		},
		"HTTP/2": {
			host: "a.test", alpn: "h2",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}, NextProtos: []string{"http/1.1", "h2"}},
		},
		"HTTP/2 with an endpoint that has no ALPN": {
			host: "a.test", alpn: "h2", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}},
			want: Protocol, text: "HTTP/2 needs h2",
		},
		"HTTP/2 with an endpoint that has HTTP/1.1 alone": {
			host: "a.test", alpn: "h2",
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}, NextProtos: []string{"http/1.1"}},
			want:   Protocol, text: "ALPN",
		},
		"a probe, with an endpoint that has HTTP/2 alone": {
			host: "a.test", alpn: AnyHTTP,
			server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}, NextProtos: []string{"h2"}},
		},
		"HTTP/1.1 with an endpoint that has no ALPN": {
			host: "a.test", alpn: "http/1.1", server: &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "a.test")}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.spec.Service, c.spec.Mode, c.spec.Host, c.spec.CAFile = shop, "SIMPLE", "mydb.test", ca.File(t)
			var failed []Reason
			logged, logs := observer.New(zap.WarnLevel)
			o := apply(t, Config{Log: zap.New(logged), Failed: func(_ discovery.ServiceName, r Reason) { failed = append(failed, r) }}, &c.spec)
			conn, _, err := connect(t.Context(), t, o, &c.spec, c.host, c.alpn, c.server)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_ = conn.Close()
				if len(failed) > 0 || len(o.Problems()) > 0 {
					t.Errorf("failed %v, problems %q", failed, o.Problems())
				}
				return
			}
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Reason != c.want || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want the reason %s with %q", err, c.want, c.text)
			}
			if len(failed) != 1 || failed[0] != c.want || logs.FilterMessage("no TLS with an endpoint").Len() != 1 {
				t.Errorf("counted %v, logged %v", failed, logs.All())
			}
			if p := o.Problems(); len(p) != 1 || !strings.Contains(p[0], string(c.want)) {
				t.Errorf("problems %q", p)
			}
		})
	}
}

// An endpoint that never answers costs the attempt's time and no more, and is said to be silent.
func TestSilentEndpoint(t *testing.T) {
	t.Parallel()
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: origintest.New(t).File(t)}
	o := apply(t, Config{}, spec)
	ours, theirs := sockets(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := o.Client(ctx, ours, To{TLS: spec, Address: netip.MustParseAddrPort(ours.RemoteAddr().String())})
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Timeout {
		t.Fatalf("got %v, want the reason %s", err, Timeout)
	}
	if _, err := io.Copy(io.Discard, theirs); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the endpoint's side: %v", err)
	}
}

// A canceled attempt is no failure of the endpoint.
func TestCanceled(t *testing.T) {
	t.Parallel()
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: origintest.New(t).File(t)}
	o := apply(t, Config{}, spec)
	ours, theirs := sockets(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.ReadFull(theirs, make([]byte, 1)) // the handshake has begun
		cancel()
	}()
	_, err := o.Client(ctx, ours, To{TLS: spec, Address: netip.MustParseAddrPort(ours.RemoteAddr().String())})
	if _, ok := errors.AsType[*Error](err); ok || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if p := o.Problems(); len(p) > 0 {
		t.Errorf("problems %q", p)
	}
}

// An endpoint that wants a client certificate is refused by it where there is none, before any byte of the application, in both versions
// of TLS; and it gets one with MUTUAL.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca, other := origintest.New(t), origintest.New(t)
	later := time.Now().Add(time.Hour)
	goodCert, goodKey := origintest.PairFiles(t, ca.Issue(t, later, "client.test"))
	badCert, badKey := origintest.PairFiles(t, other.Issue(t, later, "client.test"))
	simple, mutual := discovery.TLS{Mode: "SIMPLE"}, discovery.TLS{Mode: "MUTUAL", CertFile: goodCert, KeyFile: goodKey}
	foreign := discovery.TLS{Mode: "MUTUAL", CertFile: badCert, KeyFile: badKey}
	for name, c := range map[string]struct {
		spec    discovery.TLS
		auth    tls.ClientAuthType
		most    uint16
		tickets bool
		want    Reason
	}{
		"absent, TLS 1.3":         {simple, tls.RequireAndVerifyClientCert, tls.VersionTLS13, true, ClientCertificate},
		"absent, TLS 1.2":         {simple, tls.RequireAndVerifyClientCert, tls.VersionTLS12, true, ClientCertificate},
		"absent, but not needed":  {simple, tls.VerifyClientCertIfGiven, tls.VersionTLS13, true, ""},
		"no ticket":               {simple, tls.VerifyClientCertIfGiven, tls.VersionTLS13, false, ""},
		"presented":               {mutual, tls.RequireAndVerifyClientCert, tls.VersionTLS13, true, ""},
		"presented, TLS 1.2":      {mutual, tls.RequireAndVerifyClientCert, tls.VersionTLS12, true, ""},
		"of an authority unknown": {foreign, tls.RequireAndVerifyClientCert, tls.VersionTLS13, true, ClientCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.spec.Service, c.spec.Host, c.spec.CAFile = shop, "mydb.test", ca.File(t)
			o := apply(t, Config{}, &c.spec)
			conn, theirs, err := connect(t.Context(), t, o, &c.spec, "", "", &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, later, "mydb.test")}, ClientAuth: c.auth, ClientCAs: ca.Pool(), MaxVersion: c.most,
				SessionTicketsDisabled: !c.tickets,
			})
			if c.want != "" {
				if e, ok := errors.AsType[*Error](err); !ok || e.Reason != c.want {
					t.Fatalf("got %v, want the reason %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			echo(t, conn, theirs)
		})
	}
}

// echo passes a word both ways.
func echo(t *testing.T, a, b io.ReadWriter) {
	t.Helper()
	for _, way := range [][2]io.ReadWriter{{a, b}, {b, a}} {
		if _, err := io.WriteString(way[0], "word"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "word" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

// The first bytes of a server that speaks first are not lost while its verdict on the certificate is awaited.
func TestServerSpeaksFirst(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: ca.File(t)}
	o := apply(t, Config{}, spec)
	ours, theirs := sockets(t)
	said := make(chan error, 1)
	go func() {
		s := tls.Server(theirs, &tls.Config{
			Certificates: []tls.Certificate{ca.Issue(t, time.Now().Add(time.Hour), "mydb.test")}, ClientAuth: tls.RequestClientCert,
			SessionTicketsDisabled: true,
		})
		_, err := io.WriteString(s, "220 ready")
		said <- err
	}()
	conn, err := o.Client(t.Context(), ours, To{TLS: spec, Address: netip.MustParseAddrPort(ours.RemoteAddr().String())})
	if err := errors.Join(err, <-said); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 9)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "220 ready" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A resumed session is verified as if it were the first: what was good then may have expired.
func TestResumed(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: ca.File(t)}
	var late time.Duration
	o := apply(t, Config{Now: func() time.Time { return time.Now().Add(late) }}, spec)
	server := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, time.Now().Add(time.Minute), "mydb.test")}}
	for i := range 2 {
		conn, theirs, err := connect(t.Context(), t, o, spec, "", "", server)
		if err != nil {
			t.Fatal(err)
		}
		echo(t, conn, theirs) // reads the ticket
		if got := theirs.ConnectionState().DidResume; got != (i == 1) {
			t.Errorf("connection %d: resumed %v", i, got)
		}
	}
	late = 2 * time.Minute
	_, _, err := connect(t.Context(), t, o, spec, "", "", server)
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Expired {
		t.Errorf("got %v, want the reason %s", err, Expired)
	}
}

// Files are read again when they change; one that is broken changes nothing, and status says so.
func TestFilesChange(t *testing.T) {
	t.Parallel()
	first, second := origintest.New(t), origintest.New(t)
	spec := &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: first.File(t)}
	synctest.Test(t, func(t *testing.T) {
		o := apply(t, Config{}, spec)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = o.Run(ctx) }()
		roots := func() *x509.CertPool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.all[shop].use.roots
		}
		was := roots()
		origintest.Write(t, spec.CAFile, []byte("broken, and longer than before\n"))
		wait(2 * reread)
		if p := o.Problems(); len(p) != 1 || !strings.Contains(p[0], "has no certificate") || !strings.Contains(p[0], "stays in use") {
			t.Errorf("problems %q", p)
		}
		if roots() != was {
			t.Error("the roots that were read are not in use")
		}
		text, err := readFile(second.File(t))
		if err != nil {
			t.Fatal(err)
		}
		origintest.Write(t, spec.CAFile, text)
		wait(2 * reread)
		if p := o.Problems(); len(p) != 0 || !roots().Equal(second.Pool()) {
			t.Errorf("problems %q", p)
		}
	})
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Files that are broken from the start are this side's fault.
func TestFilesBroken(t *testing.T) {
	t.Parallel()
	ca := origintest.New(t)
	cert, _ := origintest.PairFiles(t, ca.Issue(t, time.Now().Add(time.Hour), "x"))
	_, otherKey := origintest.PairFiles(t, ca.Issue(t, time.Now().Add(time.Hour), "x"))
	for name, c := range map[string]struct {
		spec discovery.TLS
		want string
	}{
		"absent":         {discovery.TLS{CAFile: "/nowhere/ca.crt"}, "no such file"},
		"a directory":    {discovery.TLS{CAFile: t.TempDir()}, "is not a regular file"},
		"another's key":  {discovery.TLS{CertFile: cert, KeyFile: otherKey}, "does not match"},
		"no certificate": {discovery.TLS{CertFile: otherKey, KeyFile: otherKey}, "failed to find"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.spec.Service, c.spec.Mode = shop, "SIMPLE"
			o := apply(t, Config{}, &c.spec)
			if p := o.Problems(); len(p) != 1 || !strings.Contains(p[0], c.want) || !strings.Contains(p[0], "no connection can be made") {
				t.Errorf("problems %q", p)
			}
			ours, _ := sockets(t)
			_, err := o.Client(t.Context(), ours, To{TLS: &c.spec})
			if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Own || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want the reason %s", err, Own)
			}
			o.Apply(&discovery.Snapshot{})
			if len(o.all) != 0 {
				t.Error("what is gone is kept")
			}
		})
	}
}

// An endpoint that requests a certificate and says nothing more has accepted, also when the time of the attempt is shorter than the wait.
func TestConfirmWithinDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := origintest.New(t)
		ours, theirs := net.Pipe()
		defer theirs.Close()
		server := tls.Server(theirs, &tls.Config{
			Certificates: []tls.Certificate{ca.Issue(t, time.Now().Add(time.Minute), "mydb.test")}, ClientAuth: tls.RequestClientCert,
			SessionTicketsDisabled: true,
		})
		shaken := make(chan error, 1)
		go func() { shaken <- server.HandshakeContext(t.Context()) }()
		ctx, cancel := context.WithTimeout(t.Context(), confirmLeast/2)
		defer cancel()
		h := &handshake{server: "mydb.test", want: &expectation{names: []string{"mydb.test"}, roots: ca.Pool(), now: time.Now}}
		conn, err := h.run(ctx, piped{ours})
		synctest.Wait()
		if err := errors.Join(err, <-shaken, ctx.Err()); err != nil { // it waits for less than the whole time
			t.Fatal(err)
		}
		_ = conn.Close()
	})
}

// What is ahead of the snapshot, or behind, is no failure.
func TestNotKnownYet(t *testing.T) {
	t.Parallel()
	failed := 0
	o := apply(t, Config{Failed: func(discovery.ServiceName, Reason) { failed++ }}, &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test"})
	o.Apply(&discovery.Snapshot{})
	ours, _ := sockets(t)
	_, err := o.Client(t.Context(), ours, To{TLS: &discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test"}})
	if !errors.Is(err, context.Canceled) || failed > 0 || len(o.Problems()) > 0 {
		t.Errorf("got %v, counted %d, problems %q", err, failed, o.Problems())
	}
}

// Other names with the same files need no reading: what was read stays, also when the files are broken now.
func TestSameFiles(t *testing.T) {
	t.Parallel()
	spec := discovery.TLS{Service: shop, Mode: "SIMPLE", Host: "mydb.test", CAFile: origintest.New(t).File(t)}
	o := apply(t, Config{}, &spec)
	was := o.all[shop].use
	origintest.Write(t, spec.CAFile, []byte("broken\n"))
	renamed := spec
	renamed.Names = []string{"other.test"}
	o.Apply(snapshot(&renamed))
	if now := o.all[shop]; now.use != was || now.tls != &renamed {
		t.Errorf("in use %+v", now)
	}
}
