package certs_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

func secret(t *testing.T, ca *certs.CA) certs.Secret {
	t.Helper()
	s, err := ca.Secret()
	if err != nil {
		t.Fatal(err)
	}
	return certs.SecretOf(s.Data())
}

// A CA that went through a Secret issues what the first one's bundle vouches for.
func TestCAThroughSecret(t *testing.T) {
	t.Parallel()
	first := newCA(t, "a.test", nil)
	kept := secret(t, first)
	for name, s := range map[string]certs.Secret{
		"whole":          kept,
		"without ca.crt": {Cert: kept.Cert, Key: kept.Key},
	} {
		again, err := certs.ParseCA(s, certs.Options{TrustDomain: domain(t, "a.test")})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		svid, err := again.Issue("cluster-a", 0)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := first.Check(svid); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again.Created() {
			t.Errorf("%s: says that it was created", name)
		}
	}
}

// Below a shared root the Secret holds the root too, and is useless without it.
func TestIntermediateThroughSecret(t *testing.T) {
	t.Parallel()
	root, err := certs.OpenRoot(t.TempDir(), true, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := root.SignCA(t.TempDir(), certs.Options{TrustDomain: domain(t, "a.test")})
	if err != nil {
		t.Fatal(err)
	}
	s := secret(t, ca)
	again, err := certs.ParseCA(s, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if roots := again.Bundle().X509Authorities(); len(roots) != 1 || !roots[0].Equal(root.Certificate()) {
		t.Errorf("bundle has %d roots", len(roots))
	}
	s.Roots = nil
	if _, err := certs.ParseCA(s, certs.Options{}); err == nil || !strings.Contains(err.Error(), "ca.crt with its root is missing") {
		t.Errorf("without its root: %v", err)
	}
	s.Roots = secret(t, newCA(t, "a.test", nil)).Roots
	if _, err := certs.ParseCA(s, certs.Options{}); err == nil || !strings.Contains(err.Error(), "does not lead up to ca.crt") {
		t.Errorf("with another root: %v", err)
	}
}

func TestBrokenCASecret(t *testing.T) {
	t.Parallel()
	good, other := secret(t, newCA(t, "a.test", nil)), secret(t, newCA(t, "a.test", nil))
	leaf, err := newCA(t, "a.test", nil).Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := leaf.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		secret certs.Secret
		td     string
		want   string
	}{
		"empty":              {certs.Secret{}, "", "tls.crt: no PEM certificate found"},
		"no key":             {certs.Secret{Cert: good.Cert}, "", "tls.key: no PEM private key found"},
		"garbage roots":      {certs.Secret{Cert: good.Cert, Key: good.Key, Roots: []byte("{}")}, "", "ca.crt: no PEM certificate found"},
		"another's key":      {certs.Secret{Cert: good.Cert, Key: other.Key}, "", "do not belong together"},
		"no CA":              {certs.Secret{Cert: cert, Key: key}, "", "intermediate"},
		"other trust domain": {good, "b.test", `CA is of trust domain "a.test", not of "b.test"`},
	} {
		o := certs.Options{}
		if tc.td != "" {
			o.TrustDomain = domain(t, tc.td)
		}
		if _, err := certs.ParseCA(tc.secret, o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want …%s…", name, err, tc.want)
		}
	}
}

func TestSVIDThroughSecret(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "a.test", nil)
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := certs.EncodeSVID(svid, ca.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	again, bundle, err := certs.ParseSVID("cluster-a", s)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID != svid.ID || !slices.Equal(again.Certificates[0].Raw, svid.Certificates[0].Raw) || !bundle.Equal(ca.Bundle()) {
		t.Errorf("%v", again.ID)
	}
	if _, _, err := certs.ParseSVID("cluster-b", s); err == nil {
		t.Error("taken for another cluster's")
	}
	s.Roots = nil
	if _, _, err := certs.ParseSVID("cluster-a", s); err == nil || !strings.Contains(err.Error(), "ca.crt") {
		t.Errorf("without its bundle: %v", err)
	}
}

func TestCheckSVID(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca := newCA(t, "a.test", func() time.Time { return now })
	svid, err := ca.Issue("cluster-a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Check(svid); err != nil {
		t.Error(err)
	}
	if err := newCA(t, "a.test", nil).Check(svid); err == nil || !strings.Contains(err.Error(), "was not issued by") {
		t.Errorf("another CA: %v", err)
	}
	now = now.Add(time.Hour + certs.ClockSkew + time.Second)
	if err := ca.Check(svid); err == nil || !strings.Contains(err.Error(), "peers would refuse") {
		t.Errorf("expired: %v", err)
	}
}

func FuzzParseCA(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\n"), []byte(nil))
	f.Add([]byte(nil), []byte(nil), []byte("-----BEGIN CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, cert, key, roots []byte) {
		ca, err := certs.ParseCA(certs.Secret{Cert: cert, Key: key, Roots: roots}, certs.Options{})
		if err == nil && ca.TrustDomain().IsZero() {
			t.Error("a CA without a trust domain")
		}
	})
}

// An SVID that presents an intermediate which was renewed since, with the same key, is replaced: the old one expires first.
func TestCheckSVIDOfRenewedIntermediate(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, nil, "root")
	old := newAuthority(t, root, "intermediate", "a.test")
	tmpl := *old.cert
	tmpl.NotAfter = tmpl.NotAfter.Add(time.Hour)
	renewed := parse(t, &tmpl, root.cert, &old.key.PublicKey, root.key)
	open := func(cert *x509.Certificate) *certs.CA {
		t.Helper()
		ca, err := certs.ParseCA(certs.Secret{Cert: pemCerts(cert.Raw), Key: pemKey(t, old.key), Roots: pemCerts(root.cert.Raw)}, certs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
	svid, err := open(old.cert).Issue("cluster-a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(old.cert).Check(svid); err != nil {
		t.Error(err)
	}
	if err := open(renewed).Check(svid); err == nil || !strings.Contains(err.Error(), "which were replaced") {
		t.Errorf("want an error about the replaced intermediate, got %v", err)
	}
}
