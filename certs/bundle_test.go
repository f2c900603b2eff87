package certs_test

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"

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
		"key without x5": {[]byte(`{"keys":[{"use":"x509-svid","kty":"oct","k":"AA"}]}`), "expected a single certificate"},
	} {
		if _, err := certs.ParseBundle(domain(t, "b.test"), c.data); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: want an error with %q, got %v", name, c.text, err)
		}
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
