package certs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// waitLimit ends a test that waits for what never happens.
const waitLimit = time.Minute

func memoryCA(t *testing.T) *CA {
	t.Helper()
	ca, err := NewCA(Options{TrustDomain: spiffeid.RequireTrustDomainFromString("a.test")})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca *CA) *x509svid.SVID {
	t.Helper()
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

func writeSVID(t *testing.T, dir string, ca *CA) *x509svid.SVID {
	t.Helper()
	svid := issue(t, ca)
	if err := WriteSVID(dir, svid, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	return svid
}

// runFor runs a source until the test ends.
func runFor(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// followed is a FileSource whose Run is under way.
type followed struct {
	*FileSource
	logs *observer.ObservedLogs
}

func follow(t *testing.T, dir string) followed {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s, err := NewFileSource(FileSourceConfig{Dir: dir, Name: "cluster-a", Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	runFor(t, s.Run)
	return followed{s, logs}
}

// eventually polls: the kernel reports changes of files with a delay.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(waitLimit)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func (f followed) serial() string {
	return f.current.Load().svid.Certificates[0].SerialNumber.String()
}

func (f followed) shows(t *testing.T, svid *x509svid.SVID) {
	t.Helper()
	want := svid.Certificates[0].SerialNumber.String()
	eventually(t, "the new certificate is used", func() bool { return f.serial() == want })
}

func TestFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	ca, dir := memoryCA(t), t.TempDir()
	first := writeSVID(t, dir, ca)
	f := follow(t, dir)
	f.shows(t, first)
	for range 3 {
		f.shows(t, writeSVID(t, dir, ca))
	}
	if !f.Bundle().Equal(ca.Bundle()) {
		t.Error("another bundle than ca.crt")
	}
	if got := testutil.ToFloat64(f.metrics.renewals.WithLabelValues("success")); got != 3 {
		t.Errorf("%v renewals counted, want 3", got)
	}
}

// TestSecretStyleSwap replaces the files as the kubelet does: a new directory, and ..data renamed onto it.
func TestSecretStyleSwap(t *testing.T) {
	t.Parallel()
	ca, dir := memoryCA(t), t.TempDir()
	version := 0
	swap := func() *x509svid.SVID {
		version++
		name := fmt.Sprintf("..%d", version)
		svid := writeSVID(t, filepath.Join(dir, name), ca)
		temp := filepath.Join(dir, "..data_tmp")
		if err := os.Symlink(name, temp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temp, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		return svid
	}
	first := swap()
	for _, name := range []string{svidCertFile, svidKeyFile, svidBundleFile} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := follow(t, dir)
	f.shows(t, first)
	f.shows(t, swap())
	f.shows(t, swap())
	if n := f.logs.FilterMessageSnippet("broken").Len(); n != 0 {
		t.Errorf("%d complaints about files that were whole", n)
	}
}

func TestBrokenFilesChangeNothing(t *testing.T) {
	t.Parallel()
	ca := memoryCA(t)
	expired, err := NewCA(Options{TrustDomain: ca.td, Now: func() time.Time { return time.Now().AddDate(0, -1, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		text  string
	}{
		"key of another certificate": {func(t *testing.T, dir string) {
			t.Helper()
			key, err := encodeKey(issue(t, ca).PrivateKey)
			replace(t, dir, svidKeyFile, key, err)
		}, "tls.key"},
		"rubbish":       {func(t *testing.T, dir string) { t.Helper(); replace(t, dir, svidCertFile, []byte("rubbish"), nil) }, "tls.crt"},
		"broken bundle": {func(t *testing.T, dir string) { t.Helper(); replace(t, dir, svidBundleFile, []byte("{}"), nil) }, "ca.crt"},
		"removed": {func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, svidCertFile)); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		"other cluster": {func(t *testing.T, dir string) {
			t.Helper()
			svid, err := ca.Issue("cluster-x", 0)
			if err == nil {
				err = WriteSVID(dir, svid, ca.Bundle())
			}
			if err != nil {
				t.Fatal(err)
			}
		}, `of cluster "cluster-x"`},
		"expired already": {func(t *testing.T, dir string) { t.Helper(); writeSVID(t, dir, expired) }, "expired at"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			first := writeSVID(t, dir, ca)
			f := follow(t, dir)
			c.spoil(t, dir)
			// Not the first one: it may be about a moment at which only one of several files was there.
			eventually(t, "an error that tells of "+c.text, func() bool {
				return slices.ContainsFunc(f.logs.FilterMessageSnippet("broken").All(), func(e observer.LoggedEntry) bool {
					got, _ := e.ContextMap()["error"].(string)
					return strings.Contains(got, c.text)
				})
			})
			if got := f.serial(); got != first.Certificates[0].SerialNumber.String() {
				t.Error("the last good certificate is gone")
			}
			f.shows(t, writeSVID(t, dir, ca)) // and it goes on
		})
	}
}

func replace(t *testing.T, dir, name string, data []byte, err error) {
	t.Helper()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestReloadNeedsNoEvent: a directory that was replaced whole is noticed by the look that Run takes from time to time.
func TestReloadNeedsNoEvent(t *testing.T) {
	t.Parallel()
	ca, dir := memoryCA(t), filepath.Join(t.TempDir(), "tls")
	writeSVID(t, dir, ca)
	s, err := NewFileSource(FileSourceConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	s.reload()
	s.reload()
	if got := testutil.ToFloat64(s.metrics.renewals.WithLabelValues("failure")); got != 1 {
		t.Errorf("%v failures counted for one cause", got)
	}
	second := writeSVID(t, dir, ca)
	s.reload()
	if got, _ := s.GetX509SVID(); got.Certificates[0].SerialNumber.Cmp(second.Certificates[0].SerialNumber) != 0 {
		t.Error("the new directory was not read")
	}
}

func TestLateRenewalIsToldOnce(t *testing.T) {
	t.Parallel()
	ca, dir := memoryCA(t), t.TempDir()
	writeSVID(t, dir, ca)
	core, logs := observer.New(zap.WarnLevel)
	now := time.Now()
	s, err := NewFileSource(FileSourceConfig{Dir: dir, Log: zap.New(core), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{12 * time.Hour, 8 * time.Hour, 8 * time.Hour} {
		now = now.Add(d)
		s.reload()
	}
	if logs.Len() != 1 {
		t.Errorf("%d warnings: %v", logs.Len(), logs.All())
	}
}

func TestNewFileSourceRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := NewFileSource(FileSourceConfig{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("empty directory: %v", err)
	}
	for _, c := range []FileSourceConfig{{}, {Dir: dir, Name: "A"}} {
		if err := c.Validate(); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
	if err := WriteSVID(dir, issue(t, memoryCA(t)), memoryCA(t).Bundle()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, caKeyFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteSVID(dir, issue(t, memoryCA(t)), memoryCA(t).Bundle()); err == nil {
		t.Error("wrote over a CA")
	}
}

// A new certificate that its bundle does not vouch for waits for that file, while the one in use is good.
func TestNewCertificateWaitsForItsBundle(t *testing.T) {
	t.Parallel()
	ca, other, dir := memoryCA(t), memoryCA(t), t.TempDir()
	first := writeSVID(t, dir, ca)
	s, err := NewFileSource(FileSourceConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	second := issue(t, other)
	key, err := encodeKey(second.PrivateKey)
	replace(t, dir, svidKeyFile, key, err)
	replace(t, dir, svidCertFile, encodeCerts(second.Certificates), nil)
	for range 2 {
		s.reload()
		if got, _ := s.GetX509SVID(); got.Certificates[0].SerialNumber.Cmp(first.Certificates[0].SerialNumber) != 0 {
			t.Fatal("used without its bundle")
		}
		if p := s.Problems(); len(p) != 1 || !strings.Contains(p[0], "peers would refuse the certificate") {
			t.Errorf("problems %q", p)
		}
	}
	replace(t, dir, svidBundleFile, encodeCerts(other.Bundle().X509Authorities()), nil)
	s.reload()
	if got, _ := s.GetX509SVID(); got.Certificates[0].SerialNumber.Cmp(second.Certificates[0].SerialNumber) != 0 || len(s.Problems()) > 0 {
		t.Errorf("not used: %q", s.Problems())
	}
}
