package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/eastway/eastway/certs"
)

// chains are what other programs write into tls.crt and ca.crt, and what is wrong with that.
func chains(t *testing.T) map[string]struct {
	chain, roots [][]byte
	leaf         tls.Certificate
	// refused: it cannot be used. doubt: peers would refuse it. Both are in the message.
	refused, doubt []string
} {
	t.Helper()
	type row = struct {
		chain, roots   [][]byte
		leaf           tls.Certificate
		refused, doubt []string
	}
	root := newAuthority(t, nil, "corp root")
	held, loose := newAuthority(t, root, "held", "a.test"), newAuthority(t, root, "loose")
	twin := newAuthority(t, nil, "corp root")
	rows := map[string]row{}
	add := func(name string, from *authority, edit func(*x509.Certificate), change func(*row)) {
		t.Helper()
		leaf := from.leaf(t, idA, edit)
		r := row{chain: leaf.Certificate, roots: [][]byte{root.cert.Raw}, leaf: leaf}
		if change != nil {
			change(&r)
		}
		rows[name] = r
	}
	form := "exactly one URI as subject alternative name (SAN): spiffe://TRUSTDOMAIN/eastway/cluster/cluster-a"
	add("whole", held, nil, nil)
	add("directly below its root", root, nil, nil)
	add("pinned intermediate", loose, nil, func(r *row) { r.chain, r.roots = r.chain[:1], [][]byte{loose.cert.Raw} })
	add("with its root", held, nil, func(r *row) { r.chain = append(r.chain, root.cert.Raw) })
	add("expired", held, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil)
	add("intermediate missing", held, nil, func(r *row) {
		r.chain, r.doubt = r.chain[:1], []string{`that of its issuer "CN=held"`, "in tls.crt, as an intermediate"}
	})
	add("not constrained", loose, nil, func(r *row) {
		r.doubt = []string{`"CN=loose" is not held to trust domain "a.test"`, "docs/certificates.md"}
	})
	add("root replaced", held, nil, func(r *row) {
		r.roots, r.doubt = [][]byte{twin.cert.Raw}, []string{`"CN=corp root" in ca.crt has another key`, `signed "CN=held"`}
	})
	add("for servers only", held, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, func(r *row) { r.doubt = []string{"clientAuth"} })
	add("for clients only", held, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, func(r *row) { r.doubt = []string{"serverAuth"} })
	add("for anything", held, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, nil)
	add("wrong order", held, nil, func(r *row) {
		slices.Reverse(r.chain)
		r.refused = []string{`begins with the CA certificate "CN=held"`, "has to be the first"}
	})
	add("only the CA", held, nil, func(r *row) { r.chain, r.refused = r.chain[1:], []string{"it holds a CA certificate", "--ca"} })
	add("no URI", held, func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"x"} }, func(r *row) { r.refused = []string{form} })
	add("two URIs", held, func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, func(r *row) { r.refused = []string{form} })
	add("other URI", held, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "a.test", Path: "/ns/default/sa/x"}}
	}, func(r *row) { r.refused = []string{form, "/ns/default/sa/x"} })
	add("other cluster", held, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "a.test", Path: "/eastway/cluster/other"}}
	}, func(r *row) { r.refused = []string{form, `it is of cluster "other"`} })
	add("no digital signature", held, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, func(r *row) {
		r.refused = []string{"digitalSignature"}
	})
	return rows
}

// What is wrong with a chain is named where it is read: at the start, in Secrets, and by peer export.
func TestWrongChainsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range chains(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFiles(t, dir, map[string][]byte{
				"tls.crt": pemCerts(c.chain...), "tls.key": pemKey(t, c.leaf.PrivateKey), "ca.crt": pemCerts(c.roots...),
			})
			core, logs := observer.New(zap.WarnLevel)
			s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Name: "cluster-a", Log: zap.New(core)})
			has(t, "start", err, c.refused)
			bundle, doubt, err := certs.ReadPublic(dir, "cluster-a")
			has(t, "public part", err, c.refused)
			has(t, "doubt", doubt, c.doubt)
			if s == nil {
				return
			}
			if len(bundle.X509Authorities()) != len(c.roots) {
				t.Errorf("%d roots", len(bundle.X509Authorities()))
			}
			if told := logs.FilterMessageSnippet("peers would refuse it").Len(); told != min(len(c.doubt), 1) {
				t.Errorf("%d warnings", told)
			}
			if shown := strings.Join(s.Problems(), "\n"); !containsAll(shown, c.doubt) || shown == "" != (len(c.doubt) == 0 && name != "expired") {
				t.Errorf("problems: %q", shown)
			}
		})
	}
}

func has(t *testing.T, what string, err error, parts []string) {
	t.Helper()
	if (err != nil) != (len(parts) > 0) || err != nil && !containsAll(err.Error(), parts) {
		t.Errorf("%s: want an error with %q, got %v", what, parts, err)
	}
}

func containsAll(text string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

// A directory without what peer export needs is named, with the files that are needed.
func TestReadPublicRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := certs.ReadPublic(dir, "cluster-a"); err == nil || !strings.Contains(err.Error(), "tls.crt and ca.crt are needed") {
		t.Errorf("empty directory: %v", err)
	}
	leaf := newAuthority(t, nil, "x", "a.test").leaf(t, idA, nil)
	writeFiles(t, dir, map[string][]byte{"tls.crt": pemCerts(leaf.Certificate...), "ca.crt": nil})
	if _, _, err := certs.ReadPublic(dir, "cluster-a"); err == nil || !strings.Contains(err.Error(), "ca.crt is empty") {
		t.Errorf("empty bundle: %v", err)
	}
	_, err := certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, "a.test")})
	if err == nil || !strings.Contains(err.Error(), "use it as --svid") {
		t.Errorf("as a CA: %v", err)
	}
}

// A certificate that is valid from 1970 on is not late because of that.
func TestLongBackdatedCertificateIsNotLate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	leaf := newAuthority(t, nil, "x", "a.test").leaf(t, idA, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Unix(0, 0), now.Add(10*24*time.Hour)
	})
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{"tls.crt": pemCerts(leaf.Certificate...), "tls.key": pemKey(t, leaf.PrivateKey)})
	core, logs := observer.New(zap.WarnLevel)
	if _, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Log: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	if logs.Len() > 0 {
		t.Errorf("logged %v", logs.All())
	}
}

// An intermediate in tls.crt that expires before the certificate is what counts: peers refuse both then.
func TestIntermediateThatExpiresFirst(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, nil, "root")
	below := newAuthority(t, root, "below", "a.test")
	tmpl := *below.cert
	tmpl.NotAfter = time.Now().Add(-time.Hour)
	old := parse(t, &tmpl, root.cert, &below.key.PublicKey, root.key)
	leaf := below.leaf(t, idA, nil)
	dir := t.TempDir()
	put := func(intermediate *x509.Certificate) {
		t.Helper()
		writeFiles(t, dir, map[string][]byte{
			"tls.crt": pemCerts(leaf.Certificate[0], intermediate.Raw), "tls.key": pemKey(t, leaf.PrivateKey), "ca.crt": pemCerts(root.cert.Raw),
		})
	}
	expiry := func(s *certs.FileSource, reg *prometheus.Registry) (problems []string, at float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "eastway_certs_svid_expiry_timestamp_seconds" {
				at = f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		return s.Problems(), at
	}
	for name, c := range map[string]struct {
		intermediate *x509.Certificate
		problem      string
		end          time.Time
	}{
		"expired": {old, `"CN=below" expired at`, old.NotAfter},
		"valid":   {below.cert, "", time.Time{}},
	} {
		put(c.intermediate)
		reg := prometheus.NewRegistry()
		s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		problems, at := expiry(s, reg)
		if text := strings.Join(problems, "\n"); !strings.Contains(text, c.problem) || (text == "") != (c.problem == "") {
			t.Errorf("%s: problems %q", name, problems)
		}
		if !c.end.IsZero() && at != float64(c.end.Unix()) {
			t.Errorf("%s: metric %f, want %d", name, at, c.end.Unix())
		}
	}
}
