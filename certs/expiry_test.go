package certs_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
)

// The root that expires last decides, and how long it lives.
func TestEnding(t *testing.T) {
	t.Parallel()
	now := time.Unix(2e9, 0)
	const day = 24 * time.Hour
	key := testKey(t)
	root := func(name string, life, left time.Duration) *x509.Certificate {
		tmpl := &x509.Certificate{
			Subject: subject(name), NotBefore: now.Add(left - life), NotAfter: now.Add(left), IsCA: true, BasicConstraintsValid: true,
		}
		return parse(t, tmpl, tmpl, &key.PublicKey, key)
	}
	const year = 365 * day
	for name, c := range map[string]struct {
		roots []*x509.Certificate
		want  string
	}{
		"none":                     {nil, ""},
		"young":                    {[]*x509.Certificate{root("a", year, 31*day)}, ""},
		"soon":                     {[]*x509.Certificate{root("a", year, 29*day)}, `its last root, "CN=a", expires at 2033-06-16`},
		"expired":                  {[]*x509.Certificate{root("a", year, -day)}, `its last root, "CN=a", expired at 2033-05-17`},
		"all but one":              {[]*x509.Certificate{root("a", year, -day), root("b", year, 300*day)}, ""},
		"all":                      {[]*x509.Certificate{root("a", year, -2*day), root("b", year, -day)}, `its last root, "CN=b", expired at`},
		"it lives for a day":       {[]*x509.Certificate{root("a", day, 5*time.Hour)}, ""},
		"it lives for a day, soon": {[]*x509.Certificate{root("a", day, 4*time.Hour)}, `its last root, "CN=a", expires at`},
	} {
		got := certs.Ending(x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString("a.test"), c.roots), now)
		if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Both sides see that a root has expired: the cluster whose root it is, and its peers.
func TestExpiredRootIsShown(t *testing.T) {
	t.Parallel()
	const id = "spiffe://a.test/eastway/cluster/cluster-a"
	ca := newAuthority(t, nil, "root")
	leaf := ca.leaf(t, id, nil)
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{
		"tls.crt": pemCerts(leaf.Certificate...), "tls.key": pemKey(t, leaf.PrivateKey), "ca.crt": pemCerts(ca.cert.Raw),
	})
	for _, c := range []struct {
		at   time.Duration
		want string
	}{{0, ""}, {21 * time.Hour, "expires at"}, {25 * time.Hour, "expired at"}} {
		now := time.Now().Add(c.at)
		s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Name: "cluster-a", Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		a, err := certs.NewAuthenticator(certs.Config{Source: s, Peers: []certs.Peer{testPeer(t, id, ca.cert)}})
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{
			"ca.crt in " + dir:               strings.Join(s.Problems(), "; "),
			"trust bundle of peer cluster-a": strings.Join(a.Problems(now), "; "),
		} {
			if shown := strings.Contains(text, where+`: its last root, "CN=root", `+c.want); shown != (c.want != "") {
				t.Errorf("after %v: %q, want %q of %s", c.at, text, c.want, where)
			}
		}
	}
}
