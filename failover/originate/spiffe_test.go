package originate

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/originate/origintest"
)

// identity is an Identity.
type identity struct {
	svid   *x509svid.SVID
	bundle *x509bundle.Bundle
}

func (i *identity) GetX509SVID() (*x509svid.SVID, error) { return i.svid, nil }
func (i *identity) Bundle() *x509bundle.Bundle           { return i.bundle }

// With SPIFFE the endpoint presents an SVID of the own trust domain, of the IDs that are named if there are any, and gets ours.
func TestSPIFFE(t *testing.T) {
	t.Parallel()
	ca, other := origintest.New(t), origintest.New(t)
	later := time.Now().Add(time.Hour)
	own := ca.Issue(t, later, "spiffe://east.test/proxy")
	td := spiffeid.RequireTrustDomainFromString("east.test")
	me := &identity{
		&x509svid.SVID{Certificates: []*x509.Certificate{own.Leaf}, PrivateKey: own.PrivateKey.(crypto.Signer)},
		x509bundle.FromX509Authorities(td, []*x509.Certificate{ca.Cert}),
	}
	for name, c := range map[string]struct {
		names []string
		cert  tls.Certificate
		want  Reason
	}{
		"any ID":                  {nil, ca.Issue(t, later, "spiffe://east.test/db"), ""},
		"a named ID":              {[]string{"spiffe://east.test/x", "spiffe://east.test/db"}, ca.Issue(t, later, "spiffe://east.test/db"), ""},
		"another ID":              {[]string{"spiffe://east.test/x"}, ca.Issue(t, later, "spiffe://east.test/db"), OtherName},
		"another trust domain":    {nil, ca.Issue(t, later, "spiffe://west.test/db"), OtherName},
		"no ID":                   {nil, ca.Issue(t, later, "mydb.test"), OtherName},
		"of an authority unknown": {nil, other.Issue(t, later, "spiffe://east.test/db"), UnknownAuthority},
		"one of a CA":             {nil, ca.IssueCA(t, later, "spiffe://east.test/db"), BadCertificate},
		"expired":                 {nil, ca.Issue(t, time.Now().Add(-time.Minute), "spiffe://east.test/db"), Expired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := &discovery.TLS{Service: shop, Mode: "SPIFFE", Host: "mydb.test", Names: c.names}
			o := apply(t, Config{Identity: me}, spec)
			conn, theirs, err := connect(t.Context(), t, o, spec, "", "", &tls.Config{
				Certificates: []tls.Certificate{c.cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
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
			if got := theirs.ConnectionState().PeerCertificates[0].URIs[0].String(); got != "spiffe://east.test/proxy" {
				t.Errorf("the endpoint saw %s", got)
			}
		})
	}
	spec := &discovery.TLS{Service: shop, Mode: "SPIFFE", Host: "mydb.test"}
	for name, me := range map[string]Identity{"no identity": nil, "no bundle": &identity{svid: me.svid}} {
		o := apply(t, Config{Identity: me}, spec)
		server := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, later, "spiffe://east.test/db")}}
		_, _, err := connect(t.Context(), t, o, spec, "", "", server)
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Own {
			t.Errorf("%s: got %v, want the reason %s", name, err, Own)
		}
	}
}
