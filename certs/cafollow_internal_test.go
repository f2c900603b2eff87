package certs

import (
	"crypto"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// renewable is a CA directory below a shared root, whose intermediate the test renews.
type renewable struct {
	root *Root
	dir  string
}

func newRenewable(t *testing.T) renewable {
	t.Helper()
	root, err := OpenRoot(t.TempDir(), true, Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := root.SignCA(dir, Options{TrustDomain: spiffeid.RequireTrustDomainFromString("a.test")}); err != nil {
		t.Fatal(err)
	}
	return renewable{root, dir}
}

// renew replaces the intermediate by one of that trust domain which ends then, with the same key, or another one that is written second.
func (r renewable) renew(t *testing.T, td string, end time.Time, sameKey bool) {
	t.Helper()
	key, err := readKey(filepath.Join(r.dir, caKeyFile))
	if err == nil && !sameKey {
		key, err = newKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.sign(t, td, end, key)
	if sameKey {
		return
	}
	data, err := encodeKey(key)
	replace(t, r.dir, caKeyFile, data, err)
}

func (r renewable) sign(t *testing.T, td string, end time.Time, key crypto.Signer) {
	t.Helper()
	tmpl := caTemplate("intermediate", spiffeid.RequireTrustDomainFromString(td), time.Now())
	tmpl.NotAfter = end
	cert, err := sign(tmpl, r.root.cert, key.Public(), r.root.key)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, r.dir, caCertFile, encodeCerts([]*x509.Certificate{cert}), nil)
}

func (r renewable) follow(t *testing.T) *CASource {
	t.Helper()
	ca, err := OpenCA(r.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.InfoLevel)
	s, err := NewCASource(CASourceConfig{CA: ca, Dir: r.dir, Name: "cluster-a", Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	runFor(t, s.Run)
	t.Cleanup(func() {
		if t.Failed() {
			for _, l := range logs.All() {
				t.Log(l.Message, l.ContextMap())
			}
		}
	})
	return s
}

func (s *CASource) endsAt(end time.Time) func() bool {
	return func() bool {
		svid := s.svid.Load()
		return svid != nil && len(svid.Certificates) == 2 && svid.Certificates[1].NotAfter.Equal(end.UTC().Truncate(time.Second))
	}
}

// An intermediate that is renewed is presented at once, with the same key or another.
func TestRenewedIntermediateIsUsed(t *testing.T) {
	t.Parallel()
	r := newRenewable(t)
	soon, later, last := time.Now().Add(time.Hour), time.Now().Add(48*time.Hour), time.Now().Add(96*time.Hour)
	r.renew(t, "a.test", soon, true)
	s := r.follow(t)
	if !s.endsAt(soon)() || s.svid.Load().Certificates[0].NotAfter.After(soon) {
		t.Fatal("the first one does not end with its CA")
	}
	r.renew(t, "a.test", later, true)
	eventually(t, "the renewed intermediate is presented", s.endsAt(later))
	if !s.svid.Load().Certificates[0].NotAfter.After(soon) {
		t.Error("the certificate still ends with the old intermediate")
	}
	if got := testutil.ToFloat64(s.metrics.caExpiry); got != unix(later) {
		t.Errorf("metric says that the CA expires at %v", got)
	}
	r.renew(t, "a.test", last, false)
	eventually(t, "the intermediate with another key is presented", s.endsAt(last))
	eventually(t, "no problem is left", func() bool { return len(s.Problems()) == 0 })
}

// What is broken in the directory, or of another cluster, changes nothing but is shown until it is repaired.
func TestBrokenCADirectoryChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*testing.T, renewable)
		text  string
	}{
		"rubbish": {func(t *testing.T, r renewable) { t.Helper(); replace(t, r.dir, caCertFile, []byte("rubbish"), nil) }, "no PEM certificate"},
		"removed": {func(t *testing.T, r renewable) {
			t.Helper()
			if err := os.Remove(filepath.Join(r.dir, caCertFile)); err != nil {
				t.Fatal(err)
			}
		}, "restore the directory from a backup"},
		"other trust domain": {func(t *testing.T, r renewable) { t.Helper(); r.renew(t, "b.test", time.Now().Add(time.Hour), true) }, "not of"},
		"expired":            {func(t *testing.T, r renewable) { t.Helper(); r.renew(t, "a.test", time.Now().Add(-time.Hour), true) }, "expired at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRenewable(t)
			s := r.follow(t)
			first := s.svid.Load()
			c.spoil(t, r)
			eventually(t, "a problem that names "+c.text, func() bool {
				p := s.Problems()
				return len(p) == 1 && strings.Contains(p[0], c.text) && strings.Contains(p[0], r.dir)
			})
			if s.svid.Load() != first {
				t.Error("the last good certificate is gone")
			}
			end := time.Now().Add(time.Hour)
			r.renew(t, "a.test", end, true)
			eventually(t, "the repaired one is used", s.endsAt(end))
			eventually(t, "no problem is left", func() bool { return len(s.Problems()) == 0 })
		})
	}
}

// With a CA that has expired there is a source without a certificate, until the CA is renewed.
func TestExpiredCAWaitsForANewOne(t *testing.T) {
	t.Parallel()
	r := newRenewable(t)
	r.renew(t, "a.test", time.Now().Add(-time.Hour), true)
	s := r.follow(t)
	if _, err := s.GetX509SVID(); err == nil || !strings.Contains(err.Error(), "expired at") {
		t.Errorf("want an error that names the expired CA, got %v", err)
	}
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "replace it by a renewed one") {
		t.Errorf("%q", p)
	}
	if s.ID().String() != "spiffe://a.test/eastway/cluster/cluster-a" || s.Bundle().Empty() {
		t.Errorf("%s, %v", s.ID(), s.Bundle())
	}
	end := time.Now().Add(time.Hour)
	r.renew(t, "a.test", end, true)
	eventually(t, "the renewed one is used", s.endsAt(end))
	eventually(t, "no problem is left", func() bool { return len(s.Problems()) == 0 })
}

// Reload reads at once what the kernel does not report.
func TestReloadReadsTheCA(t *testing.T) {
	t.Parallel()
	r := newRenewable(t)
	s := r.follow(t)
	link := r.dir
	if err := os.Rename(link, link+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(link, os.DirFS(link+".old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(link, caKeyFile), keyMode); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour)
	r.renew(t, "a.test", end, true)
	s.Reload()
	eventually(t, "the new directory is read", s.endsAt(end))
}
