package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/eastway/eastway/certs"
)

func domain(t *testing.T, s string) spiffeid.TrustDomain {
	t.Helper()
	td, err := spiffeid.TrustDomainFromString(s)
	if err != nil {
		t.Fatal(err)
	}
	return td
}

func newCA(t *testing.T, td string, now func() time.Time) *certs.CA {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: domain(t, td), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestNewCA(t *testing.T) {
	t.Parallel()
	c := newCA(t, "a.test", nil).Certificate()
	if k, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("key %T", c.PublicKey)
	}
	if !slices.Equal(c.PermittedURIDomains, []string{"a.test"}) || !c.PermittedDNSDomainsCritical {
		t.Errorf("constraints %q, critical %t", c.PermittedURIDomains, c.PermittedDNSDomainsCritical)
	}
	if !c.IsCA || !c.MaxPathLenZero || c.MaxPathLen != 0 || c.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("CA %t, path %d, usage %b", c.IsCA, c.MaxPathLen, c.KeyUsage)
	}
	if years := time.Until(c.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("valid for %.1f years", years)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		t.Errorf("not self-signed: %v", err)
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	ca := newCA(t, "a.test", func() time.Time { return now })
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	c := svid.Certificates[0]
	if len(c.URIs) != 1 || c.URIs[0].String() != "spiffe://a.test/eastway/cluster/cluster-a" {
		t.Errorf("URIs %v", c.URIs)
	}
	if !c.NotBefore.Equal(now.Add(-time.Minute)) || !c.NotAfter.Equal(now.Add(24*time.Hour)) {
		t.Errorf("valid %s to %s", c.NotBefore, c.NotAfter)
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 2 || c.IsCA {
		t.Errorf("usage %b %v, CA %t", c.KeyUsage, c.ExtKeyUsage, c.IsCA)
	}
	if len(svid.Certificates) != 1 {
		t.Errorf("%d certificates presented: peers have the root already", len(svid.Certificates))
	}
	again, err := ca.Issue("cluster-a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if svid.PrivateKey.(*ecdsa.PrivateKey).Equal(again.PrivateKey) {
		t.Error("the key was used again")
	}
}

func TestIssueIsRefused(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "a.test", nil)
	for name, ttl := range map[string]time.Duration{
		"": 0, "Upper": 0, "dot.ted": 0, "-dash": 0, "under_score": 0, strings.Repeat("x", 64): 0,
		"short": time.Millisecond, "negative": -time.Hour, "long": 400 * 24 * time.Hour,
	} {
		if _, err := ca.Issue(name, ttl); err == nil {
			t.Errorf("issued for %q, %s", name, ttl)
		}
	}
}

func TestIssueNeverOutlivesTheCA(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca := newCA(t, "a.test", func() time.Time { return now })
	end := ca.Certificate().NotAfter
	now = end.Add(-time.Hour)
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if !svid.Certificates[0].NotAfter.Equal(end) {
		t.Errorf("expires %s, its CA %s", svid.Certificates[0].NotAfter, end)
	}
	now = end.Add(time.Hour)
	if _, err := ca.Issue("cluster-a", 0); err == nil || certs.Reason(err) != certs.ReasonExpired {
		t.Errorf("an expired CA issued: %v", err)
	}
}

func TestTrustDomainsThatCannotBeConstrained(t *testing.T) {
	t.Parallel()
	for _, td := range []string{"10.0.0.1", "a..b", ".a", "a.", strings.Repeat("x.", 126) + "xx"} {
		parsed, err := spiffeid.TrustDomainFromString(td)
		if err != nil {
			continue // SPIFFE refuses it already
		}
		if _, err := certs.NewCA(certs.Options{TrustDomain: parsed}); err == nil {
			t.Errorf("made a CA for %q", td)
		}
	}
	if _, err := certs.NewCA(certs.Options{}); err == nil {
		t.Error("made a CA for no trust domain")
	}
}
