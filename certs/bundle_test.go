package certs_test

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"github.com/eastway/eastway/certs"
)

func TestBundleRoundTrip(t *testing.T) {
	t.Parallel()
	td := domain(t, "b.test")
	roots := []*x509.Certificate{newAuthority(t, nil, "1", "b.test").cert, newAuthority(t, nil, "2").cert}
	bundle := x509bundle.FromX509Authorities(td, roots)
	for _, f := range []certs.Format{certs.JWKS, certs.PEM} {
		data, err := certs.MarshalBundle(bundle, f)
		if err != nil {
			t.Fatal(err)
		}
		if got := data[0] == '{'; got != (f == certs.JWKS) {
			t.Errorf("%s begins with %q", f, data[0])
		}
		got, err := certs.ParseBundle(td, data)
		if err != nil || !got.Equal(bundle) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := certs.MarshalBundle(bundle, "der"); err == nil || !strings.Contains(err.Error(), `"der"`) {
		t.Errorf("unknown format: %v", err)
	}
}

func TestParseBundleRefuses(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, nil, "root", "b.test")
	good := pemCerts(root.cert.Raw)
	leaf := root.leaf(t, idB, nil)
	var many []byte
	for range 33 {
		many = append(many, good...)
	}
	for name, c := range map[string]struct {
		data []byte
		text string
	}{
		"empty":          {nil, "is empty"},
		"spaces":         {[]byte(" \n\t"), "is empty"},
		"too large":      {bytes.Repeat([]byte("x"), certs.MaxBundle+1), "larger than"},
		"rubbish":        {[]byte("rubbish"), "no PEM certificate found"},
		"cut off":        {append(bytes.Clone(good), good[:100]...), "PEM block 2"},
		"private key":    {append(bytes.Clone(good), pemKey(t, root.key)...), `block 2 is a "PRIVATE KEY"`},
		"leaf":           {pemCerts(leaf.Certificate[0]), "not a CA certificate"},
		"bad DER":        {pemCerts([]byte("x")), "certificate 1"},
		"too many":       {many, "more than 32"},
		"JSON rubbish":   {[]byte("{"), "SPIFFE JWKS"},
		"no keys":        {[]byte("{}"), "SPIFFE JWKS"},
		"no X.509 keys":  {[]byte(`{"keys":[]}`), "x509-svid"},
		"key without x5": {[]byte(`{"keys":[{"use":"x509-svid","kty":"RSA","n":"` + strings.Repeat("A", 342) + `","e":"AQAB"}]}`), "a single"},
		"unknown types":  {[]byte(`{"keys":[{"use":"x509-svid","kty":"AKP","pub":"AA"}]}`), "1 keys with"},
	} {
		if _, err := certs.ParseBundle(domain(t, "b.test"), c.data); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: want an error with %q, got %v", name, c.text, err)
		}
	}
}

// SPIRE's bundles have keys of other uses, and will have other types: they are ignored, also where they are malformed.
func TestUnknownKeysAreIgnored(t *testing.T) {
	t.Parallel()
	td := domain(t, "b.test")
	bundle := x509bundle.FromX509Authorities(td, []*x509.Certificate{newAuthority(t, nil, "1", "b.test").cert})
	data, err := certs.MarshalBundle(bundle, certs.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	const ec = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	for name, key := range map[string]string{
		"jwt-svid":             `{"use":"jwt-svid","kid":"1",` + ec + `}`,
		"jwt-svid without kid": `{"use":"jwt-svid",` + ec + `}`,
		"wit-svid without kid": `{"use":"wit-svid",` + ec + `}`,
		"unknown use":          `{"use":"foo",` + ec + `}`,
		"no use":               `{` + ec + `}`,
		"use of another type":  `{"use":5,` + ec + `}`,
		"unknown type":         `{"use":"x509-svid","kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`,
		"unknown type for JWT": `{"use":"jwt-svid","kid":"1","kty":"AKP","pub":"AA"}`,
		"unknown curve":        `{"use":"x509-svid","kty":"EC","crv":"secp256k1","x":"AA","y":"AA","x5c":["AA"]}`,
		"unknown OKP":          `{"use":"x509-svid","kty":"OKP","crv":"Ed448","x":"AA","x5c":["AA"]}`,
		"null":                 `null`,
	} {
		for _, with := range []string{
			strings.Replace(string(data), `"keys":`, `"spiffe_sequence":5,"spiffe_refresh_hint":300,"keys":`, 1),
			strings.Replace(string(data), `[`, `[`+key+`,`, 1),
		} {
			got, err := certs.ParseBundle(td, []byte(with))
			if err != nil || !got.Equal(bundle) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The case of a host is not significant: constraints in upper case hold CAs, roots and peers to the same trust domain.
func TestConstraintsInUpperCase(t *testing.T) {
	t.Parallel()
	td := domain(t, "a.test")
	root := newAuthority(t, nil, "root")
	upper := newAuthority(t, root, "intermediate", "A.Test")
	s := certs.Secret{Cert: pemCerts(upper.cert.Raw), Key: pemKey(t, upper.key), Roots: pemCerts(root.cert.Raw)}
	ca, err := certs.ParseCA(s, certs.Options{TrustDomain: td})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := ca.Issue("cluster-a", 0) // verifies it as a peer does
	if err != nil {
		t.Fatal(err)
	}
	if err := certs.CheckOwn(svid, ca.Bundle()); err != nil {
		t.Error(err)
	}
	own := newAuthority(t, nil, "own root", "A.TEST")
	if _, err := certs.ParsePeer("cluster-a", idA, string(pemCerts(own.cert.Raw))); err != nil {
		t.Error(err)
	}
	if !certs.HeldTo(own.cert, td) || certs.HeldTo(root.cert, td) || certs.HeldTo(own.cert, domain(t, "b.test")) {
		t.Error("held to another trust domain")
	}
}

// A root whose own signature is of SHA-1 is a root, in a CA's directory and in a Secret.
func TestRootSignedWithSHA1(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	tmpl := &x509.Certificate{
		Subject: subject("old root"), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, PermittedURIDomains: []string{"a.test"},
		SignatureAlgorithm: x509.SHA1WithRSA,
	}
	root, err := x509.ParseCertificate(signed(t, tmpl, tmpl, key.Public(), key))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"ca.crt": pemCerts(root.Raw), "ca.key": pemKey(t, key)})
	ca, err := certs.OpenCA(dir, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Issue("cluster-a", 0); err != nil {
		t.Error(err)
	}
	if _, err := certs.ParseCA(certs.Secret{Cert: pemCerts(root.Raw), Key: pemKey(t, key)}, certs.Options{}); err != nil {
		t.Error(err)
	}
}

func FuzzParseBundle(f *testing.F) {
	ca, err := certs.NewCA(certs.Options{TrustDomain: fuzzDomain(f)})
	if err != nil {
		f.Fatal(err)
	}
	for _, format := range []certs.Format{certs.JWKS, certs.PEM} {
		data, err := certs.MarshalBundle(ca.Bundle(), format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte(`{"keys":[{"use":"x509-svid","x5c":[]}]}`))
	td := fuzzDomain(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := certs.ParseBundle(td, data)
		if err != nil {
			return
		}
		if b.Empty() {
			t.Fatal("an empty bundle was accepted")
		}
		for _, format := range []certs.Format{certs.JWKS, certs.PEM} {
			out, err := certs.MarshalBundle(b, format)
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			if again, err := certs.ParseBundle(td, out); err != nil || !again.Equal(b) {
				t.Fatalf("%s: changed by writing and reading: %v", format, err)
			}
		}
	})
}
