package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/certs"
)

// own is an identity that the test changes.
type own struct {
	mu     sync.Mutex
	svid   *x509svid.SVID
	bundle *x509bundle.Bundle
}

func (o *own) GetX509SVID() (*x509svid.SVID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.svid, nil
}

func (o *own) Bundle() *x509bundle.Bundle {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bundle
}

func ownOf(t *testing.T, a *authority, id string, edit func(*x509.Certificate)) *own {
	t.Helper()
	return &own{svid: svidOf(t, a.leaf(t, id, edit)), bundle: rootsOf(t, "a.test", a)}
}

func rootsOf(t *testing.T, td string, a *authority) *x509bundle.Bundle {
	t.Helper()
	return x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString(td), []*x509.Certificate{a.cert})
}

const (
	proxyOfA = "spiffe://a.test/eastway/cluster/a"
	nodeOfA  = "spiffe://a.test/eastway/node"
)

func nodeClient(t *testing.T, o certs.Own) *tls.Config {
	t.Helper()
	c, err := certs.NodeClientConfig(o, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func lateBy(d time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-d) }
}

// What a proxy accepts as a node agent of its cluster.
func TestNodesThatProxiesAccept(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, "a", "a.test")
	stranger := newAuthority(t, nil, "stranger", "a.test")
	b := newAuthority(t, nil, "b", "b.test")
	tests := map[string]struct {
		by     *authority // nil: no certificate
		id     string
		edit   func(*x509.Certificate)
		reason string
	}{
		"the right one":          {a, nodeOfA, nil, accepted},
		"for clients only":       {a, nodeOfA, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, accepted},
		"for servers only":       {a, nodeOfA, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] }, certs.ReasonBadCertificate},
		"none":                   {nil, "", nil, certs.ReasonNoCertificate},
		"a proxy of the cluster": {a, proxyOfA, nil, certs.ReasonWrongID},
		"another path":           {a, nodeOfA + "s", nil, certs.ReasonWrongID},
		"below it":               {a, nodeOfA + "/1", nil, certs.ReasonWrongID},
		"a peer's proxy":         {b, "spiffe://b.test/eastway/cluster/b", nil, certs.ReasonWrongTrustDomain},
		"a peer's node":          {b, "spiffe://b.test/eastway/node", nil, certs.ReasonWrongTrustDomain},
		"another trust domain":   {a, "spiffe://b.test/eastway/node", nil, certs.ReasonWrongTrustDomain},
		"another CA":             {stranger, nodeOfA, nil, certs.ReasonUnknownAuthority},
		"expired":                {a, nodeOfA, lateBy(certs.ClockSkew + time.Minute), certs.ReasonExpired},
		"just expired":           {a, nodeOfA, lateBy(certs.ClockSkew - time.Minute), accepted},
		"a CA": {a, nodeOfA, func(c *x509.Certificate) {
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, c.KeyUsage|x509.KeyUsageCertSign
		}, certs.ReasonBadCertificate},
	}
	server := certs.NodeServerConfig(ownOf(t, a, proxyOfA, nil), nil)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
			if tt.by != nil {
				client.Certificates = []tls.Certificate{tt.by.leaf(t, tt.id, tt.edit)}
			}
			o := overTCP(t, client, server)
			if r := certs.Reason(o.server); r != tt.reason {
				t.Errorf("reason %q, want %q: %v", r, tt.reason, o.server)
			}
			if (o.client == nil) != (tt.reason == accepted) {
				t.Errorf("the client: %v", o.client)
			}
		})
	}
	t.Run("TLS 1.2", func(t *testing.T) {
		t.Parallel()
		client := nodeClient(t, ownOf(t, a, nodeOfA, nil))
		client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		if o := overTCP(t, client, server); o.server == nil || o.client == nil {
			t.Error("accepted")
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		t.Parallel()
		client := nodeClient(t, ownOf(t, a, nodeOfA, nil))
		client.NextProtos, client.VerifyConnection = nil, nil
		if o := overTCP(t, client, server); certs.Reason(o.server) != certs.ReasonALPN {
			t.Errorf("%v", o.server)
		}
	})
	t.Run("no bundle", func(t *testing.T) {
		t.Parallel()
		bare := ownOf(t, a, proxyOfA, nil)
		bare.bundle = nil
		o := overTCP(t, nodeClient(t, ownOf(t, a, nodeOfA, nil)), certs.NodeServerConfig(bare, nil))
		if certs.Reason(o.server) != certs.ReasonOwnCertificate || !strings.Contains(o.server.Error(), "ca.crt") {
			t.Errorf("%v", o.server)
		}
	})
}

// What a node agent accepts as a proxy of its cluster.
func TestProxiesThatNodesAccept(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, nil, "a", "a.test")
	stranger := newAuthority(t, nil, "stranger", "a.test")
	b := newAuthority(t, nil, "b", "b.test")
	for name, tt := range map[string]struct {
		by     *authority
		id     string
		edit   func(*x509.Certificate)
		reason string
	}{
		"the right one":       {a, proxyOfA, nil, accepted},
		"another cluster":     {a, "spiffe://a.test/eastway/cluster/b", nil, certs.ReasonWrongID},
		"another node":        {a, nodeOfA, nil, certs.ReasonWrongID},
		"a peer's":            {b, "spiffe://b.test/eastway/cluster/b", nil, certs.ReasonWrongTrustDomain},
		"another CA":          {stranger, proxyOfA, nil, certs.ReasonUnknownAuthority},
		"for clients only":    {a, proxyOfA, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] }, certs.ReasonBadCertificate},
		"expired":             {a, proxyOfA, lateBy(certs.ClockSkew + time.Minute), certs.ReasonExpired},
		"no SPIFFE ID at all": {a, "https://a.test/eastway/cluster/a", nil, certs.ReasonBadCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{tt.by.leaf(t, tt.id, tt.edit)}, NextProtos: []string{"http/1.1"},
			}
			o := overTCP(t, nodeClient(t, ownOf(t, a, nodeOfA, nil)), server)
			if r := certs.Reason(o.client); r != tt.reason {
				t.Errorf("reason %q, want %q: %v", r, tt.reason, o.client)
			}
		})
	}
	if _, err := certs.NodeClientConfig(&own{}, "", nil); err == nil {
		t.Error("any cluster is accepted")
	}
}

// A resumed session is judged again, by what is trusted then; and tickets are off.
func TestResumedSessionsOfNodes(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t, nil, "a", "a.test"), newAuthority(t, nil, "other", "a.test")
	for _, side := range []string{"proxy", "node"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			proxy, node := ownOf(t, a, proxyOfA, nil), ownOf(t, a, nodeOfA, nil)
			server, client := certs.NodeServerConfig(proxy, nil), nodeClient(t, node)
			client.ClientSessionCache, client.ServerName = tls.NewLRUClientSessionCache(8), "resumed"
			for range 2 {
				if o := overTCP(t, client, server); o.client != nil || o.server != nil || o.serverState.DidResume {
					t.Fatalf("client: %v, server: %v, resumed %t", o.client, o.server, o.serverState.DidResume)
				}
			}
			withTickets(client, server)
			for i := range 2 {
				if o := overTCP(t, client, server); o.client != nil || o.server != nil || o.serverState.DidResume != (i > 0) {
					t.Fatalf("client: %v, server: %v, resumed %t", o.client, o.server, o.serverState.DidResume)
				}
			}
			changed := map[string]*own{"proxy": proxy, "node": node}[side]
			changed.mu.Lock()
			changed.bundle = rootsOf(t, "a.test", other)
			changed.mu.Unlock()
			o := overTCP(t, client, server)
			got := map[string]error{"proxy": o.server, "node": o.client}[side]
			if certs.Reason(got) != certs.ReasonUnknownAuthority {
				t.Errorf("after the CA was replaced: client: %v, server: %v", o.client, o.server)
			}
		})
	}
}

// The certificate of node agents opens no tunnel to a cluster that trusts their own.
func TestNodesOpenNoTunnel(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t, nil, "a", "a.test"), newAuthority(t, nil, "b", "b.test")
	auth, err := certs.NewAuthenticator(certs.Config{
		Source: svidOf(t, b.leaf(t, "spiffe://b.test/eastway/cluster/b", nil)),
		Peers:  []certs.Peer{testPeer(t, proxyOfA, a.cert)},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{certs.ALPN}, Certificates: []tls.Certificate{a.leaf(t, nodeOfA, nil)},
	}
	if o := overTCP(t, client, auth.ServerConfig()); certs.Reason(o.server) != certs.ReasonWrongID {
		t.Errorf("%v", o.server)
	}
}

// A node agent starts before its files are there, and follows them: renewal reaches the next connection.
func TestNodeFiles(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "a.test", nil)
	dir := filepath.Join(t.TempDir(), "svid")
	source, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Node: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.GetX509SVID(); err == nil || !strings.Contains(err.Error(), dir) || source.Bundle() != nil {
		t.Errorf("no files: %v", err)
	}
	proxy, err := certs.NewCASource(certs.CASourceConfig{CA: ca, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	server, client := certs.NodeServerConfig(proxy, nil), nodeClient(t, source)
	if o := overTCP(t, client, server); certs.Reason(o.client) != certs.ReasonOwnCertificate {
		t.Errorf("without a certificate: client: %v, server: %v", o.client, o.server)
	}
	write := func() *x509svid.SVID {
		t.Helper()
		svid, err := ca.IssueNode(0)
		if err != nil {
			t.Fatal(err)
		}
		content, err := certs.EncodeSVID(svid, ca.Bundle())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range content.Data() {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return svid
	}
	for range 2 {
		svid := write()
		certs.Reload(source)
		o := overTCP(t, client, server)
		if o.client != nil || o.server != nil || !o.serverState.PeerCertificates[0].Equal(svid.Certificates[0]) {
			t.Errorf("client: %v, server: %v", o.client, o.server)
		}
	}
	// The certificate of a cluster is none of a node's, and the other way around.
	svid, err := ca.Issue("a", 0)
	if err != nil {
		t.Fatal(err)
	}
	content, err := certs.EncodeSVID(svid, ca.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := certs.ParseNodeSVID(content); err == nil || !strings.Contains(err.Error(), nodePathOf(t)) {
		t.Errorf("a proxy's certificate for a node: %v", err)
	}
	if _, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir}); err == nil {
		t.Error("a node's certificate for a proxy")
	}
	if err := (certs.FileSourceConfig{Dir: dir, Name: "a", Node: true}).Validate(); err == nil {
		t.Error("a node of one cluster")
	}
}

func nodePathOf(t *testing.T) string {
	t.Helper()
	id, err := certs.NodeID(spiffeid.RequireTrustDomainFromString("a.test"))
	if err != nil {
		t.Fatal(err)
	}
	return id.Path()
}

func TestIssueNode(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca := newCA(t, "a.test", func() time.Time { return now })
	svid, err := ca.IssueNode(time.Hour)
	if err != nil || svid.ID.String() != nodeOfA || ca.Check(svid) != nil {
		t.Fatalf("%v, %v, %v", svid, err, ca.Check(svid))
	}
	if usage := svid.Certificates[0].ExtKeyUsage; len(usage) != 1 || usage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("good for %v", usage)
	}
	now = now.Add(time.Hour + certs.ClockSkew + time.Second)
	if err := ca.Check(svid); err == nil {
		t.Error("expired, and not noticed")
	}
	if _, err := ca.IssueNode(certs.MaxTTL + 1); err == nil {
		t.Error("issued for too long")
	}
}
