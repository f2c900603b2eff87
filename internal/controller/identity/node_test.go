package identity

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
)

// Node agents get a certificate of their own, from the same CA, renewed and replaced as that of the proxies is.
func TestNodeCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.TTL = 10 * time.Hour })
	w.must()
	check := func(td string) *corev1.Secret {
		t.Helper()
		s := w.secret("node-svid")
		svid, bundle, err := certs.ParseNodeSVID(certs.SecretOf(s.Data))
		if err != nil {
			t.Fatal(err)
		}
		_, proxies, err := certs.ParseSVID("here", certs.SecretOf(w.secret("svid").Data))
		if err != nil || svid.ID.String() != "spiffe://"+td+"/eastway/node" || !bundle.Equal(proxies) {
			t.Errorf("%s, %v", svid.ID, err)
		}
		for _, other := range []string{"ca", "svid"} {
			if bytes.Contains(s.Data["tls.key"], w.secret(other).Data["tls.key"]) {
				t.Errorf("node agents have the key of %s", other)
			}
		}
		return s
	}
	first := check("here.eastway.internal")
	w.now = w.now.Add(3 * time.Hour)
	w.must()
	if w.secret("node-svid").ResourceVersion != first.ResourceVersion {
		t.Error("renewed before its time")
	}
	w.now = w.now.Add(3*time.Hour + 30*time.Minute)
	if after := w.must(); after > pollEvery {
		t.Errorf("comes back after %s", after)
	}
	second := check("here.eastway.internal")
	if bytes.Equal(second.Data["tls.crt"], first.Data["tls.crt"]) || bytes.Equal(second.Data["tls.key"], first.Data["tls.key"]) {
		t.Error("not renewed")
	}
	// It is mended when it is broken, and follows the CA.
	s := w.secret("node-svid")
	s.Data["tls.crt"] = w.secret("svid").Data["tls.crt"]
	w.update(s)
	w.must()
	check("here.eastway.internal")
	_, other := newCA(t, "other.test")
	s = w.secret("ca")
	s.Data = other.Data()
	w.update(s)
	w.must()
	check("other.test")
}

// Its renewal is not late because the certificate of the proxies is newer.
func TestNodeCertificateIsDueByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.TTL = 10 * time.Hour })
	w.must()
	svid, _, err := certs.ParseNodeSVID(certs.SecretOf(w.secret("node-svid").Data))
	if err != nil {
		t.Fatal(err)
	}
	const soon = 5 * time.Second
	w.now = renewal(svid).Add(-soon)
	s := w.secret("svid")
	s.Data = nil
	w.update(s)
	if after := w.must(); after != soon {
		t.Errorf("comes back after %s, it is due in %s", after, soon)
	}
}

// Where the proxies' certificate is not Eastway's, neither is that of the node agents: the log says so once, and nothing is written.
func TestForeignNodeCertificate(t *testing.T) {
	t.Parallel()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("corp.test")})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := ca.Issue("here", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	content, err := certs.EncodeSVID(svid, ca.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	w := newWorld(t, func(c *Config) { c.Log = zap.New(core) }, userSecret("svid", content))
	w.must()
	w.must()
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: "node-svid"}, &corev1.Secret{}); err == nil {
		t.Error("a certificate was issued")
	}
	if all := logs.All(); len(all) != 1 || !strings.Contains(all[0].Message, "make one where the proxies' is made") {
		t.Errorf("logged %v", all)
	}
	node, err := ca.IssueNode(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i, edit := range []func(*certs.Secret){func(*certs.Secret) {}, func(s *certs.Secret) { s.Cert = content.Cert }} {
		made, err := certs.EncodeSVID(node, ca.Bundle())
		if err != nil {
			t.Fatal(err)
		}
		edit(&made)
		s := userSecret("node-svid", made)
		if i == 0 {
			err = w.c.Create(t.Context(), s)
		} else {
			err = w.c.Update(t.Context(), s)
		}
		if err != nil {
			t.Fatal(err)
		}
		before := w.secret("node-svid").ResourceVersion
		w.must()
		if w.secret("node-svid").ResourceVersion != before {
			t.Error("it was written")
		}
		if logs.Len() != 1+i { // the second one cannot be used
			t.Errorf("%d warnings after %d", logs.Len(), i+1)
		}
	}
}
