package certs_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
)

func TestParsePeer(t *testing.T) {
	t.Parallel()
	good := string(pemCerts(newAuthority(t, nil, "root").cert.Raw))
	of := func(permitted ...string) string {
		return string(pemCerts(newAuthority(t, nil, "root", permitted...).cert.Raw))
	}
	for _, bundle := range []string{of("b.test"), of("test"), of(".test"), of("a.test") + of("b.test"), of("a.test", "b.test")} {
		if _, err := certs.ParsePeer("cluster-b", idB, bundle); err != nil {
			t.Errorf("a bundle that can vouch for the ID: %v", err)
		}
	}
	p, err := certs.ParsePeer("cluster-b", idB, good)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "cluster-b" || p.ID.String() != idB || p.Bundle.TrustDomain().Name() != "b.test" {
		t.Errorf("%+v", p)
	}
	const (
		name   = "metadata.name"
		id     = "spec.spiffeID"
		bundle = "spec.trustBundle"
	)
	for label, c := range map[string]struct{ name, id, bundle, field, text string }{
		"no name":          {"", idB, good, name, "is empty"},
		"bad name":         {"Cluster", idB, good, name, "lower case"},
		"long name":        {strings.Repeat("x", 64), idB, good, name, "longer than 63"},
		"no ID":            {"cluster-b", "", good, id, ""},
		"not SPIFFE":       {"cluster-b", "https://b.test/eastway/cluster/cluster-b", good, id, "scheme"},
		"workload's ID":    {"cluster-b", "spiffe://b.test/ns/x/sa/y", good, id, "not of the form"},
		"trust domain":     {"cluster-b", "spiffe://b.test", good, id, "not of the form"},
		"deeper path":      {"cluster-b", idB + "/x", good, id, ""},
		"other name in ID": {"cluster-c", idB, good, id, `is the ID of cluster "cluster-b"`},
		"address as TD":    {"cluster-b", "spiffe://10.0.0.1/eastway/cluster/cluster-b", good, id, "IP address"},
		"no bundle":        {"cluster-b", idB, "", bundle, "is empty"},
		"bad bundle":       {"cluster-b", idB, "{}", bundle, "JWKS"},
		"another's bundle": {
			"cluster-b", idB, of("a.test") + of("bb.test"), bundle, `is held to the trust domain "a.test", but the SPIFFE ID is of "b.test"`,
		},
	} {
		_, err := certs.ParsePeer(c.name, c.id, c.bundle)
		f, ok := errors.AsType[*certs.FieldError](err)
		if !ok || f.Field != c.field || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: want an error of %s with %q, got %v", label, c.field, c.text, err)
		}
	}
}

func fuzzDomain(tb testing.TB) spiffeid.TrustDomain {
	tb.Helper()
	td, err := spiffeid.TrustDomainFromString("b.test")
	if err != nil {
		tb.Fatal(err)
	}
	return td
}

func FuzzParsePeer(f *testing.F) {
	ca, err := certs.NewCA(certs.Options{TrustDomain: fuzzDomain(f)})
	if err != nil {
		f.Fatal(err)
	}
	data, err := certs.MarshalBundle(ca.Bundle(), certs.PEM)
	if err != nil {
		f.Fatal(err)
	}
	svid, err := ca.Issue("own", 0)
	if err != nil {
		f.Fatal(err)
	}
	auth, err := certs.NewAuthenticator(certs.Config{Source: svid})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("cluster-b", idB, string(data))
	f.Add("cluster-b", "spiffe://b.test/eastway/cluster/", "")
	f.Add("", "spiffe://b..test/eastway/cluster/x", "{")
	f.Fuzz(func(t *testing.T, name, id, bundle string) {
		p, err := certs.ParsePeer(name, id, bundle)
		if err != nil {
			return
		}
		if p.Name != name || !strings.HasSuffix(id, "/eastway/cluster/"+name) {
			t.Fatalf("%q, %q became %+v", name, id, p)
		}
		if err := auth.SetPeers([]certs.Peer{p}); err != nil {
			t.Fatalf("parsed but not usable: %v", err)
		}
	})
}
