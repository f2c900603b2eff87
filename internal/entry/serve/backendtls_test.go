package serve

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/internal/entry/route"
)

// secureTable is a Table whose backends are called by TLS.
type secureTable struct {
	*fake

	by []*route.BackendTLS
}

func (s *secureTable) BackendTLS() []*route.BackendTLS { return s.by }

// applySecure serves one backend that is verified like that.
func (w *world) applySecure(address string, protocol route.Protocol, by *route.BackendTLS) {
	w.t.Helper()
	match := to(address, protocol)
	table := &secureTable{by: []*route.BackendTLS{by}, fake: &fake{
		ports: []*route.Port{{Number: w.port, Listeners: []*route.Listener{{}}}},
		match: func(r *http.Request) route.Decision {
			d := match(r)
			d.Backend.TLS = by
			return d
		},
	}}
	if err := w.Apply(w.t.Context(), table); err != nil {
		w.t.Fatal(err)
	}
}

// namedPair makes a certificate for DNS names and URIs, which is its own root.
func namedPair(t *testing.T, uri string, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if uri != "" {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		tmpl.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// secureBackend answers with the server name that it was called by, and the protocol.
func secureBackend(t *testing.T, cert *tls.Certificate) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprintf(w, "%s %s %s", r.TLS.ServerName, r.Proto, r.Host)
		w.Header().Set("Grpc-Status", "0")
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A backend's certificate is verified: its root, and its name or one of the names of the policy, over each protocol.
func TestBackendTLS(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "spiffe://shop/vault", "vault.example", "x.b.example")
	_, others := namedPair(t, "", "vault.example")
	address := secureBackend(t, &cert)
	inClear := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(inClear.Close)
	w := newWorld(t, Config{}, nil)
	c := client(t, h2c, nil)
	const host, uri = "vault.example", "spiffe://shop/vault"
	for name, tt := range map[string]struct {
		address string
		by      route.BackendTLS
		ok      bool
	}{
		"hostname":         {address, route.BackendTLS{Roots: roots, ServerName: host}, true},
		"other hostname":   {address, route.BackendTLS{Roots: roots, ServerName: "pay.example"}, false},
		"other root":       {address, route.BackendTLS{Roots: others, ServerName: host}, false},
		"system's roots":   {address, route.BackendTLS{ServerName: host}, false},
		"name":             {address, route.BackendTLS{Roots: roots, ServerName: "pay.example", Names: []string{"a.example", host}}, true},
		"wildcard":         {address, route.BackendTLS{Roots: roots, ServerName: "pay.example", Names: []string{"*.b.example"}}, true},
		"URI":              {address, route.BackendTLS{Roots: roots, ServerName: "pay.example", URIs: []string{uri}}, true},
		"hostname alone":   {address, route.BackendTLS{Roots: roots, ServerName: host, Names: []string{"a.example"}}, false},
		"other URI":        {address, route.BackendTLS{Roots: roots, ServerName: host, URIs: []string{uri + "/b"}}, false},
		"other wildcard":   {address, route.BackendTLS{Roots: roots, ServerName: host, Names: []string{"*.x.b.example"}}, false},
		"names and root":   {address, route.BackendTLS{Roots: others, ServerName: host, Names: []string{host}}, false},
		"backend in clear": {inClear.Listener.Addr().String(), route.BackendTLS{Roots: roots, ServerName: host}, false},
	} {
		for protocol, proto := range map[route.Protocol]string{route.HTTP1: "HTTP/1.1", route.H2C: "HTTP/2.0"} {
			tt.by.Key, tt.by.Policy = name, types.NamespacedName{Namespace: "shop", Name: "policy"}
			w.applySecure(tt.address, protocol, &tt.by)
			before := w.refusedCount(backendTLS)
			r := request(t, http.MethodPost, "http://"+w.address()+"/", strings.NewReader("hello"))
			r.Host = "outside.example"
			resp, body := do(t, c, r)
			if !tt.ok {
				if resp.StatusCode != http.StatusBadGateway || w.refusedCount(backendTLS) != before+1 {
					t.Errorf("%s, %s: %s %q", name, proto, resp.Status, body)
				}
				continue
			}
			if want := tt.by.ServerName + " " + proto + " outside.example"; body != want || resp.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("%s: %s %q, want %q; %v", name, resp.Status, body, want, resp.Trailer)
			}
		}
	}
	if log := w.log.String(); !strings.Contains(log, "BackendTLSPolicy shop/policy: ") || !strings.Contains(log, backendTLS.remedy()) {
		t.Errorf("log: %s", log)
	}
}

// A connection that was verified in one way serves no request that asks for another one, and does not outlive the policy.
func TestBackendTLSChanges(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "", "vault.example")
	address := secureBackend(t, &cert)
	w := newWorld(t, Config{}, nil)
	c := client(t, http1, nil)
	get := func() int {
		resp, _ := do(t, c, request(t, http.MethodGet, "http://"+w.address()+"/", nil))
		return resp.StatusCode
	}
	good := &route.BackendTLS{Key: "good", Roots: roots, ServerName: "vault.example"}
	for range 2 {
		w.applySecure(address, route.HTTP1, good)
		if got := get(); got != http.StatusOK {
			t.Errorf("%d", got)
		}
		set := w.transports.secured.of(good, nil)
		w.applySecure(address, route.HTTP1, good)
		if w.transports.secured.of(good, nil) != set {
			t.Error("the same policy has other connections")
		}
		bad := &route.BackendTLS{Key: "bad", Roots: roots, ServerName: "pay.example"}
		w.applySecure(address, route.HTTP1, bad)
		if got := get(); got != http.StatusBadGateway {
			t.Errorf("after the policy has changed: %d", got)
		}
		w.transports.secured.mu.Lock()
		if len(w.transports.secured.by) != 1 {
			t.Errorf("%d sets of connections", len(w.transports.secured.by))
		}
		w.transports.secured.mu.Unlock()
	}
}

// Without roots of its own, a policy means those of the system.
func TestBackendTLSOfSystem(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "", "vault.example")
	address := secureBackend(t, &cert)
	w := newWorld(t, Config{}, nil)
	w.transports.secured.system = func() *x509.CertPool { return roots }
	w.applySecure(address, route.HTTP1, &route.BackendTLS{Key: "system", ServerName: "vault.example"})
	if resp, _ := do(t, client(t, http1, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil)); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// A backend that asks for a client certificate sees that of the listener's Gateway; with another one, connections are others.
func TestBackendSeesClientCertificate(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "", "vault.example")
	own, _ := namedPair(t, "", "entry.example")
	stranger, _ := namedPair(t, "", "stranger.example")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].DNSNames[0])
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	s.StartTLS()
	t.Cleanup(s.Close)
	w := newWorld(t, Config{}, nil)
	match := to(s.Listener.Addr().String(), route.HTTP1)
	by := &route.BackendTLS{Key: "a", Roots: roots, ServerName: "vault.example"}
	for _, tt := range []struct {
		client *route.Certificate
		want   string
	}{
		{nil, "Bad Gateway\n"},
		{&route.Certificate{Key: "own", Pair: &own}, "entry.example"},
		{&route.Certificate{Key: "stranger", Pair: &stranger}, "stranger.example"},
		{&route.Certificate{Key: "own", Pair: &own}, "entry.example"},
	} {
		l := &route.Listener{Client: tt.client}
		table := &secureTable{by: []*route.BackendTLS{by}, fake: &fake{
			ports: []*route.Port{{Number: w.port, Listeners: []*route.Listener{l}}},
			match: func(r *http.Request) route.Decision {
				d := match(r)
				d.Backend.TLS, d.Listener = by, l
				return d
			},
		}}
		if err := w.Apply(t.Context(), table); err != nil {
			t.Fatal(err)
		}
		if _, body := do(t, client(t, http1, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil)); body != tt.want {
			t.Errorf("%q, want %q", body, tt.want)
		}
		if n := len(w.transports.secured.by); n != 1 {
			t.Errorf("%d sets of connections", n)
		}
	}
	if w.refusedCount(backendTLS) != 1 {
		t.Errorf("%d refused because of TLS", w.refusedCount(backendTLS))
	}
}

// A session that is resumed is verified as a new one is.
func TestResumedSessionsAreVerified(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "", "vault.example")
	address := secureBackend(t, &cert)
	good := &route.BackendTLS{Roots: roots, ServerName: "vault.example"}
	conf := clientTLS(good, nil, nil)
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(1) // there is none otherwise
	call := func(conf *tls.Config) (resumed bool, err error) {
		d := tls.Dialer{Config: conf}
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return false, err
		}
		defer c.Close()
		_, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		_, _ = c.Read(make([]byte, 1)) // the ticket comes before
		conn, _ := c.(*tls.Conn)
		return conn.ConnectionState().DidResume, nil
	}
	if _, err := call(conf); err != nil {
		t.Fatal(err)
	}
	if resumed, err := call(conf); err != nil || !resumed {
		t.Fatalf("resumed %v, %v", resumed, err)
	}
	strict := conf.Clone()
	other := &route.BackendTLS{Roots: roots, ServerName: "vault.example", Names: []string{"pay.example"}}
	strict.VerifyConnection = clientTLS(other, nil, nil).VerifyConnection
	if _, err := call(strict); err == nil {
		t.Error("a session was resumed that must not be")
	} else if _, ok := errors.AsType[*untrusted](err); !ok {
		t.Error(err)
	}
}

// Copies go by TLS too, at once with many requests.
func TestMirrorBackendTLS(t *testing.T) {
	t.Parallel()
	cert, roots := namedPair(t, "", "vault.example")
	copied := make(chan string, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { copied <- r.TLS.ServerName }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	match := w.toBackend(route.HTTP1)
	by := &route.BackendTLS{Key: "a", Roots: roots, ServerName: "vault.example"}
	w.apply(func(r *http.Request) route.Decision {
		d := match(r)
		d.Mirrors = []*route.Backend{{Address: s.Listener.Addr().String(), TLS: by}}
		return d
	}, &route.Listener{})
	var running sync.WaitGroup
	for range cap(copied) {
		running.Go(func() { do(t, client(t, http1, nil), request(t, http.MethodGet, "http://"+w.address()+"/", nil)) })
	}
	running.Wait()
	for range cap(copied) {
		if got := <-copied; got != "vault.example" {
			t.Error(got)
		}
	}
}
