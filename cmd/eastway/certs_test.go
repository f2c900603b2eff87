package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/certview"
	"github.com/eastway/eastway/internal/command"
)

// must runs a command that has to succeed, and gives what it printed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := runCommand(t, args...)
	if r.code != command.OK || r.stderr != "" {
		t.Fatalf("eastway %s: exit %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

func TestCertsInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	out := must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a")
	for _, want := range []string{"was created in " + dir, "spiffe://cluster-a.eastway.internal/eastway/cluster/cluster-a"} {
		if !strings.Contains(out, want) {
			t.Errorf("output lacks %q:\n%s", want, out)
		}
	}
	if out := must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a"); !strings.Contains(out, "nothing was changed") {
		t.Errorf("second time:\n%s", out)
	}
	if _, err := certs.OpenCA(dir, certs.Options{}); err != nil {
		t.Error(err)
	}
}

func TestCertsInitBelowASharedRoot(t *testing.T) {
	t.Parallel()
	root, dir := filepath.Join(t.TempDir(), "root"), filepath.Join(t.TempDir(), "ca")
	must(t, "certs", "init", "--dir", root, "--root")
	must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a", "--trust-domain", "a.test", "--root-dir", root)
	ca, err := certs.OpenCA(dir, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ca.TrustDomain().Name() != "a.test" || ca.Bundle().HasX509Authority(ca.Certificate()) {
		t.Errorf("trust domain %s, and its bundle must be the root", ca.TrustDomain())
	}
	if _, err := os.Stat(filepath.Join(dir, "root.key")); err == nil {
		t.Error("the root's key was copied")
	}
}

func TestCertsIssueIsReadByAProxy(t *testing.T) {
	t.Parallel()
	dir, out := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "tls")
	must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a")
	must(t, "certs", "issue", "--dir", dir, "--cluster", "cluster-a", "--out", out, "--ttl", "2h")
	s, err := certs.NewFileSource(certs.FileSourceConfig{Dir: out, Name: "cluster-a"})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(svid.Certificates[0].NotAfter); left < time.Hour || left > 2*time.Hour {
		t.Errorf("%s left of 2h", left)
	}
	if info, err := os.Stat(filepath.Join(out, "tls.key")); err != nil || info.Mode().Perm() != fs.FileMode(0o600) {
		t.Errorf("tls.key: %v, %v", info, err)
	}
}

func TestCertsShow(t *testing.T) {
	t.Parallel()
	dir, out := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "tls")
	must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a")
	must(t, "certs", "issue", "--dir", dir, "--cluster", "cluster-a", "--out", out)
	var shown []certview.Cert
	if err := json.Unmarshal([]byte(must(t, "certs", "show", out, "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if len(shown) != 2 {
		t.Fatalf("%d certificates, want the leaf and the CA", len(shown))
	}
	leaf, ca := shown[0], shown[1]
	if leaf.SPIFFEID != "spiffe://cluster-a.eastway.internal/eastway/cluster/cluster-a" || leaf.Issues || leaf.Validity != "valid" {
		t.Errorf("leaf: %+v", leaf)
	}
	if !ca.Issues || len(ca.PermittedURIDomains) != 1 || ca.MaxPathLen == nil || *ca.MaxPathLen != 0 || leaf.Issuer != ca.Subject {
		t.Errorf("CA: %+v", ca)
	}
	piped, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(io.Discard, io.Discard)
	var stdout bytes.Buffer
	root.SetOut(&stdout)
	root.SetIn(bytes.NewReader(piped))
	root.SetArgs([]string{"certs", "show", "-"})
	if err := root.ExecuteContext(t.Context()); err != nil || !strings.Contains(stdout.String(), ca.SHA256) {
		t.Errorf("from stdin: %v\n%s", err, &stdout)
	}
	text := must(t, "certs", "show", filepath.Join(dir, "ca.crt"))
	for _, want := range []string{"Issues for   cluster-a.eastway.internal only", "Below it     0 CAs", ca.SHA256} {
		if !strings.Contains(text, want) {
			t.Errorf("output lacks %q:\n%s", want, text)
		}
	}
}

func TestCertsCommandsRefuse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	must(t, "certs", "init", "--dir", dir, "--cluster", "cluster-a")
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"certs init --dir DIR", command.Usage, "cluster root"},
		{"certs init --cluster x", command.Usage, `"dir" not set`},
		{"certs init --dir DIR --cluster X", command.Usage, "lower case"},
		{"certs init --dir DIR --cluster x --trust-domain A/B", command.Usage, "--trust-domain"},
		{"certs init --dir DIR --cluster x --trust-domain 10.0.0.1", command.Usage, "IP address"},
		{"certs init --dir DIR --root --cluster x", command.Usage, "root"},
		{"certs init --dir DIR --cluster x --root-dir DIR/none", command.Failure, "shared root in"},
		{"certs init --dir DIR --cluster other", command.Failure, `not of "other.eastway.internal"`},
		{"certs init --dri DIR", command.Usage, "unknown flag: --dri"},
		{"certs init extra --dir DIR --cluster x", command.Usage, `unexpected argument "extra"`},
		{"certs isue", command.Usage, "did you mean issue?"},
		{"certs issue --dir DIR/none --cluster x --out DIR/x", command.Failure, "eastway certs init"},
		{"certs issue --dir DIR --cluster x --out DIR", command.Failure, "holds a CA"},
		{"certs issue --dir DIR --cluster x --out DIR/x --ttl 1000000h", command.Failure, "TTL"},
		{"certs show", command.Usage, "missing argument DIR|FILE|-"},
		{"certs show DIR/none", command.NotFound, "there is no"},
		{"certs show DIR/ca.key", command.Failure, "PRIVATE KEY"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))
		if strings.Contains(c.args, "DIR|FILE") {
			args = strings.Fields(c.args)
		}
		r := runCommand(t, args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.text) || r.stdout != "" {
			t.Errorf("%s: exit %d, want %d and %q:\n%s%s", c.args, r.code, c.code, c.text, r.stdout, r.stderr)
		}
	}
}
