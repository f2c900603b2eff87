package certs

import (
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// FuzzParseIdentity reads the files of a FileSource.
func FuzzParseIdentity(f *testing.F) {
	td, err := spiffeid.TrustDomainFromString("a.test")
	if err != nil {
		f.Fatal(err)
	}
	ca, err := NewCA(Options{TrustDomain: td})
	if err != nil {
		f.Fatal(err)
	}
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		f.Fatal(err)
	}
	cert, key, err := svid.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(cert, key, encodeCerts(ca.Bundle().X509Authorities()))
	f.Add(cert, key, []byte{})
	f.Add(cert[:len(cert)/2], key, []byte("{}"))
	f.Fuzz(func(t *testing.T, cert, key, bundle []byte) {
		id, err := parseIdentity(clusterOf(""), cert, key, bundle)
		if err != nil {
			return
		}
		if err := sameKey(id.svid.Certificates[0], id.svid.PrivateKey); err != nil {
			t.Fatal(err)
		}
		if _, err := ClusterName(id.svid.ID); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzParseCAFiles reads what a CA's directory may hold.
func FuzzParseCAFiles(f *testing.F) {
	td, err := spiffeid.TrustDomainFromString("a.test")
	if err != nil {
		f.Fatal(err)
	}
	ca, err := NewCA(Options{TrustDomain: td})
	if err != nil {
		f.Fatal(err)
	}
	key, err := encodeKey(ca.key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encodeCerts(ca.chain), key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN EC PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		chain, err := parsePEM(cert)
		if err != nil {
			return
		}
		signer, err := parseKey(key)
		if err != nil {
			return
		}
		ca, err := newCA(chain, chain[:1], signer, Options{})
		if err != nil {
			return
		}
		// Whatever it issues was verified as a peer would.
		if svid, err := ca.Issue("cluster-a", 0); err == nil && svid.ID.TrustDomain() != ca.td {
			t.Fatalf("issued %s with a CA of %s", svid.ID, ca.td)
		}
	})
}
