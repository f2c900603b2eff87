package serve

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/eastway/eastway/internal/entry/route"
)

// Clients of a listener that asks for certificates are let in with one that it verifies, also those whose connection was there before.
func TestClientAuth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Config{}, func(http.ResponseWriter, *http.Request) {})
	cert, serverRoots := pair(t, time.Now().Add(time.Hour), "shop.example")
	own, roots := namedPair(t, "", "own.example")
	stranger, strangers := namedPair(t, "", "stranger.example")
	serve := func(auth *route.ClientAuth) {
		l := &route.Listener{TLS: true, Certificates: []*route.Certificate{cert}, Clients: auth}
		match := w.toBackend(route.HTTP1)
		w.apply(func(r *http.Request) route.Decision {
			d := match(r)
			d.Listener = l
			return d
		}, l)
	}
	caller := func(set func(*http.Protocols), certs ...tls.Certificate) *http.Client {
		c := client(t, set, serverRoots)
		if tr, ok := c.Transport.(*http.Transport); ok {
			tr.TLSClientConfig.ServerName, tr.TLSClientConfig.ClientSessionCache = "shop.example", tls.NewLRUClientSessionCache(8)
			tr.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(certs) > 0 {
					return &certs[0], nil
				}
				return new(tls.Certificate), nil
			}
		}
		return c
	}
	get := func(c *http.Client) int {
		resp, err := c.Do(request(t, http.MethodGet, "https://"+w.address()+"/", nil))
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for name, set := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2": http2} {
		expect := func(what string, c *http.Client, want int) {
			t.Helper()
			if got := get(c); got != want {
				t.Errorf("%s: %s: %d, want %d", name, what, got, want)
			}
		}
		serve(nil)
		before, withCert := caller(set), caller(set, own)
		expect("no certificate is asked for", before, http.StatusOK)
		expect("no certificate is asked for", withCert, http.StatusOK)
		serve(&route.ClientAuth{Roots: roots})
		expect("on a connection of before", before, http.StatusMisdirectedRequest)
		expect("anew without a certificate, with a session of before", before, 0)
		expect("without", caller(set), 0)
		expect("another root", caller(set, stranger), 0)
		fresh := caller(set, own)
		for range 2 {
			expect("valid", fresh, http.StatusOK)
		}
		serve(&route.ClientAuth{Roots: roots}) // the same in the next Table
		expect("still valid", fresh, http.StatusOK)
		serve(&route.ClientAuth{Roots: strangers})
		expect("the roots have changed", fresh, http.StatusMisdirectedRequest)
		expect("anew with a certificate that counts no more", fresh, 0)
		serve(&route.ClientAuth{Roots: roots, Optional: true})
		expect("optional: without", caller(set), http.StatusOK)
		expect("optional: another root", caller(set, stranger), http.StatusOK)
		for _, c := range []*http.Client{before, withCert, fresh} {
			c.CloseIdleConnections()
		}
	}
	if w.refusedCount(badTLS) == 0 {
		t.Error("refused handshakes are not counted")
	}
	var none *x509.CertPool
	if f := new(front); !f.proves(nil) || !f.proves(&route.Listener{Clients: &route.ClientAuth{Roots: none}}) {
		t.Error("a connection in clear has nothing to prove")
	}
}
