package lab

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// A kubeconfig's user is accepted by a server of the same CA for its hosts, and of no other.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	own, err := newAuthority("one")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority("two")
	if err != nil {
		t.Fatal(err)
	}
	user, err := own.issue("me", []string{"us"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "folder", "kubeconfig")
	first := access{context: "one", server: "https://192.0.2.1:6443", trust: own.bundle(), user: user}
	second := access{context: "two", server: "https://192.0.2.2:6443", trust: other.bundle(), user: user}
	if err := writeKubeconfig(path, first, second); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file with keys: %v, %v", info.Mode(), err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != first.server {
		t.Errorf("the current context is of %s", config.Host)
	}
	pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if subject := pair.Leaf.Subject; subject.CommonName != "me" || len(subject.Organization) != 1 || subject.Organization[0] != "us" {
		t.Errorf("user %v", subject)
	}
	server, err := own.issue("server", nil, "192.0.2.1", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := tls.X509KeyPair(server.certificate, server.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ca   *authority
		host string
		want bool
	}{{own, "192.0.2.1", true}, {own, "kubernetes", true}, {own, "192.0.2.2", false}, {other, "kubernetes", false}} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(test.ca.bundle())
		_, err := serving.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: test.host})
		if (err == nil) != test.want {
			t.Errorf("%s, own CA %t: %v", test.host, test.ca == own, err)
		}
	}
}
