package certs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

func openCA(t *testing.T, dir, td string) *certs.CA {
	t.Helper()
	ca, err := certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, td)})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestOpenCAMakesAndFinds(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "ca")
	made := openCA(t, dir, "a.test")
	for name, want := range map[string]fs.FileMode{"": 0o700, "ca.key": 0o600, "ca.crt": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s/%s has mode %o, want %o", dir, name, got, want)
		}
	}
	found := openCA(t, dir, "a.test")
	if !found.Certificate().Equal(made.Certificate()) {
		t.Error("another CA was found than was made")
	}
	if !made.Created() || found.Created() {
		t.Errorf("created: %t, then %t", made.Created(), found.Created())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, err := found.Issue("cluster-a", 0); err != nil {
		t.Error(err)
	}
}

// TestConcurrentFirstStart has many starts at once on one directory end with one CA.
func TestConcurrentFirstStart(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := filepath.Join(t.TempDir(), "ca")
		cas := make([]*certs.CA, 8)
		errs := make([]error, len(cas))
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range cas {
			wg.Go(func() {
				<-start
				cas[i], errs[i] = certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, "a.test")})
			})
		}
		close(start)
		wg.Wait()
		created := 0
		for i, ca := range cas {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if !ca.Certificate().Equal(cas[0].Certificate()) {
				t.Fatal("two starts got different CAs")
			}
			if ca.Created() {
				created++
			}
		}
		if created != 1 {
			t.Errorf("%d of them say that they made it", created)
		}
	}
}

func TestUnfinishedFirstStartGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openCA(t, dir, "a.test")
	key := readFile(t, dir, "ca.key")
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	openCA(t, dir, "a.test")
	if !bytes.Equal(readFile(t, dir, "ca.key"), key) {
		t.Error("the key was replaced")
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, data []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenCARefuses(t *testing.T) {
	t.Parallel()
	other := t.TempDir()
	openCA(t, other, "a.test")
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		td    string
		text  string
	}{
		"other trust domain": {func(*testing.T, string) {}, "b.test", `is of trust domain "a.test", not of "b.test"`},
		"key for the group":  {chmod(0o640), "a.test", "chmod 600"},
		"key for the world":  {chmod(0o604), "a.test", "chmod 600"},
		"key of another CA": {func(t *testing.T, dir string) {
			t.Helper()
			writeFile(t, readFile(t, other, "ca.key"), dir, "ca.key")
		}, "a.test", "do not belong together"},
		"key missing": {func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
				t.Fatal(err)
			}
		}, "a.test", "restore the key from a backup"},
		"key is rubbish":        {write("ca.key", "rubbish"), "a.test", "no PEM private key"},
		"certificate is empty":  {write("ca.crt", ""), "a.test", "no PEM certificate"},
		"certificate cut off":   {cut("ca.crt"), "a.test", "there is no -----END line"},
		"certificate is a leaf": {leafAsCA, "a.test", "is an intermediate, but"},
		"unconstrained":         {unconstrainedCA, "a.test", "must be constrained to exactly one trust domain"},
		"another root":          {foreignRoot, "a.test", "does not lead up to root.crt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openCA(t, dir, "a.test")
			c.spoil(t, dir)
			before := readFile(t, dir, "ca.crt")
			_, err := certs.OpenCA(dir, certs.Options{TrustDomain: domain(t, c.td)})
			if err == nil || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), dir) {
				t.Errorf("want an error with %q and the directory, got: %v", c.text, err)
			}
			if !bytes.Equal(readFile(t, dir, "ca.crt"), before) {
				t.Error("the certificate was replaced")
			}
		})
	}
}

func chmod(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Chmod(filepath.Join(dir, "ca.key"), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, data string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { t.Helper(); writeFile(t, []byte(data), dir, name) }
}

func cut(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		data := readFile(t, dir, name)
		writeFile(t, data[:len(data)/2], dir, name)
	}
}

func leafAsCA(t *testing.T, dir string) {
	t.Helper()
	c := newAuthority(t, nil, "x", "a.test").leaf(t, idA, nil)
	writeFile(t, pemCerts(c.Certificate...), dir, "ca.crt")
}

func unconstrainedCA(t *testing.T, dir string) {
	t.Helper()
	a := newAuthority(t, nil, "x")
	writeFile(t, pemCerts(a.cert.Raw), dir, "ca.crt")
	writeFile(t, pemKey(t, a.key), dir, "ca.key")
}

func foreignRoot(t *testing.T, dir string) {
	t.Helper()
	writeFile(t, pemCerts(newAuthority(t, nil, "x").cert.Raw), dir, "root.crt")
}

func TestOpenCAOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := certs.OpenCA(dir, certs.Options{}); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "eastway certs init") {
		t.Errorf("no CA: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("made without being asked: %v, %v", entries, err)
	}
	openCA(t, dir, "a.test")
	if _, err := certs.OpenCA(dir, certs.Options{}); err != nil {
		t.Error(err)
	}
}

func TestOpenCAWhereAPartOfThePathIsAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, nil, dir, "file")
	_, err := certs.OpenCA(filepath.Join(dir, "file", "ca"), certs.Options{TrustDomain: domain(t, "a.test")})
	if err == nil || !strings.Contains(err.Error(), "choose another path") {
		t.Error(err)
	}
}

func TestSharedRoot(t *testing.T) {
	t.Parallel()
	rootDir, dirA, dirB := t.TempDir(), t.TempDir(), t.TempDir()
	if _, err := certs.OpenRoot(rootDir, false, certs.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no root: %v", err)
	}
	root, err := certs.OpenRoot(rootDir, true, certs.Options{})
	if err != nil || !root.Created() {
		t.Fatal(err)
	}
	a, err := root.SignCA(dirA, certs.Options{TrustDomain: domain(t, "a.test")})
	if err != nil {
		t.Fatal(err)
	}
	c := a.Certificate()
	if !c.MaxPathLenZero || len(c.PermittedURIDomains) != 1 || c.PermittedURIDomains[0] != "a.test" {
		t.Errorf("intermediate permits %q, path %d", c.PermittedURIDomains, c.MaxPathLen)
	}
	if c.NotAfter.After(root.Certificate().NotAfter) {
		t.Error("the intermediate outlives its root")
	}
	b, err := root.SignCA(dirB, certs.Options{TrustDomain: domain(t, "b.test")})
	if err != nil {
		t.Fatal(err)
	}
	reopened := openCA(t, dirA, "a.test")
	if !reopened.Bundle().HasX509Authority(root.Certificate()) || len(reopened.Bundle().X509Authorities()) != 1 {
		t.Error("the bundle is not the shared root")
	}
	peersOfSharedRoot(t, reopened, b)
	again, err := root.SignCA(dirA, certs.Options{TrustDomain: domain(t, "a.test")})
	if err != nil || again.Created() || !again.Certificate().Equal(c) {
		t.Errorf("signed again: %v", err)
	}
}

// peersOfSharedRoot proves that such clusters connect, with the root alone as bundle of both.
func peersOfSharedRoot(t *testing.T, a, b *certs.CA) {
	t.Helper()
	auth := func(ca *certs.CA, name string, peer certs.Peer) *certs.Authenticator {
		svid, err := ca.Issue(name, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(svid.Certificates) != 2 {
			t.Errorf("%d certificates presented, want leaf and intermediate", len(svid.Certificates))
		}
		auth, err := certs.NewAuthenticator(certs.Config{Source: svid, Peers: []certs.Peer{peer}})
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	authA := auth(a, "cluster-a", testPeer(t, idB, b.Bundle().X509Authorities()...))
	authB := auth(b, "cluster-b", testPeer(t, idA, a.Bundle().X509Authorities()...))
	if o := overTCP(t, clientConfig(t, authA, "cluster-b"), authB.ServerConfig()); o.client != nil || o.server != nil {
		t.Errorf("client: %v, server: %v", o.client, o.server)
	}
}

func TestSignCARefuses(t *testing.T) {
	t.Parallel()
	newRoot := func() *certs.Root {
		root, err := certs.OpenRoot(t.TempDir(), true, certs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	one, two := newRoot(), newRoot()
	o := certs.Options{TrustDomain: domain(t, "a.test")}
	t.Run("other root", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if _, err := one.SignCA(dir, o); err != nil {
			t.Fatal(err)
		}
		if _, err := two.SignCA(dir, o); err == nil || !strings.Contains(err.Error(), "not below the root") {
			t.Error(err)
		}
	})
	t.Run("own CA there", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		openCA(t, dir, "a.test")
		if _, err := one.SignCA(dir, o); err == nil || !strings.Contains(err.Error(), "not below the root") {
			t.Error(err)
		}
	})
	t.Run("unfinished, other root", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		writeFile(t, pemCerts(one.Certificate().Raw), dir, "root.crt")
		if _, err := two.SignCA(dir, o); err == nil || !strings.Contains(err.Error(), "holds another root") {
			t.Error(err)
		}
		if _, err := certs.OpenCA(dir, o); err == nil || !strings.Contains(err.Error(), "--root-dir") {
			t.Errorf("OpenCA: %v", err)
		}
		if _, err := one.SignCA(dir, o); err != nil {
			t.Errorf("the same root: %v", err)
		}
	})
	t.Run("root expired", func(t *testing.T) {
		t.Parallel()
		late := certs.Options{TrustDomain: o.TrustDomain, Now: func() time.Time { return time.Now().AddDate(20, 0, 0) }}
		if _, err := one.SignCA(t.TempDir(), late); err == nil || !strings.Contains(err.Error(), "expired at") {
			t.Error(err)
		}
	})
}
