package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/tunnel"
)

// intermediate puts a CA that ends then into the directory, below root, with the key that is there or a new one.
func intermediate(t *testing.T, root, dir, trustDomain string, end time.Time) {
	t.Helper()
	above, err := x509.ParseCertificate(pemOf(t, filepath.Join(root, "root.crt")))
	fatal(t, err)
	signer, err := x509.ParsePKCS8PrivateKey(pemOf(t, filepath.Join(root, "root.key")))
	fatal(t, err)
	put := func(name, kind string, der []byte) {
		t.Helper()
		temp := filepath.Join(dir, "new")
		fatal(t, os.WriteFile(temp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		fatal(t, os.Rename(temp, filepath.Join(dir, name)))
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil {
		fatal(t, os.MkdirAll(dir, 0o700))
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fatal(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		fatal(t, err)
		put("ca.key", "PRIVATE KEY", der)
	}
	key, err := x509.ParsePKCS8PrivateKey(pemOf(t, filepath.Join(dir, "ca.key")))
	fatal(t, err)
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("key is a %T", key)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end, KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true, PermittedDNSDomainsCritical: true, PermittedURIDomains: []string{trustDomain},
	}, above, &ec.PublicKey, signer)
	fatal(t, err)
	put("root.crt", "CERTIFICATE", above.Raw)
	put("ca.crt", "CERTIFICATE", der)
}

func pemOf(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	fatal(t, err)
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s is not PEM", file)
	}
	return block.Bytes
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An intermediate that is renewed in --ca is picked up without touching a lane, and new certificates no longer end with the old one.
func TestRenewedCAKeepsLanes(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	root := filepath.Join(a.dir, "root")
	mustRun(t, "certs", "init", "--dir", root, "--root")
	a.ca = filepath.Join(a.dir, "intermediate")
	intermediate(t, root, a.ca, "aa.eastway.internal", time.Now().Add(time.Hour))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	pa, pb := a.start(t), b.start(t)
	pa.connected(t, "bb")
	pb.connected(t, "aa")
	lanes := pa.lanes(t, 4)
	expiry := func() float64 { return pa.metric(t, "eastway_certs_svid_expiry_timestamp_seconds") }
	if got := expiry(); got > float64(time.Now().Add(time.Hour).Unix()) {
		t.Errorf("the certificate outlives its CA: %f", got)
	}
	later := time.Now().Add(1000 * time.Hour)
	intermediate(t, root, a.ca, "aa.eastway.internal", later)
	eventually(t, "the renewed CA is used", func() error {
		if got := expiry(); got < float64(time.Now().Add(2*time.Hour).Unix()) {
			return fmt.Errorf("expires at %f", got)
		}
		return nil
	})
	if got := pa.metric(t, "eastway_certs_ca_expiry_timestamp_seconds"); got != float64(later.Unix()) {
		t.Errorf("CA expires at %f", got)
	}
	if now := pa.lanes(t, 4); now != lanes {
		t.Errorf("lanes are now\n%s, were\n%s", now, lanes)
	}
	if n := pb.metric(t, "eastway_tunnel_link_state_changes_total"); n != 0 {
		t.Errorf("%v changes of the link", n)
	}
	// Links that begin now are made with the new one.
	pb.stop(t)
	pb = b.start(t)
	pb.connected(t, "aa")
	pa.connected(t, "bb")
}

// A proxy whose CA has expired starts, says so, serves local services, and connects once the CA is renewed.
func TestExpiredCAServesLocally(t *testing.T) {
	t.Parallel()
	a, b := newSite(t, "aa"), newSite(t, "bb")
	root := filepath.Join(a.dir, "root")
	mustRun(t, "certs", "init", "--dir", root, "--root")
	a.ca = filepath.Join(a.dir, "intermediate")
	intermediate(t, root, a.ca, "aa.eastway.internal", time.Now().Add(-time.Hour))
	vip, app := newAddress(), newAddress()
	startApp(t, "app", app)
	a.write(t, "shop.yaml", serviceManifest("shop", vip, endpoint{app, "aa-1"}))
	a.trust(t, b, b.tunnel())
	b.trust(t, a)
	pa, _ := a.start(t), b.start(t)
	mustCall(t, vip, "app")
	if all := strings.Join(pa.status(t).Errors, "\n"); !strings.Contains(all, "expired at") || !strings.Contains(all, "replace it by a renewed one") {
		t.Errorf("status does not name the expired CA: %s", all)
	}
	eventually(t, "the peer's row has the cause", func() error {
		if peers := pa.status(t).Peers; len(peers) != 1 || !strings.Contains(peers[0].LastError, "own_certificate") {
			return fmt.Errorf("%+v", peers)
		}
		return nil
	})
	intermediate(t, root, a.ca, "aa.eastway.internal", time.Now().Add(time.Hour))
	pa.connected(t, "bb")
	eventually(t, "status is in order again", func() error {
		if all := pa.status(t).Errors; len(all) > 0 {
			return errors.New(strings.Join(all, "\n"))
		}
		return nil
	})
	mustCall(t, vip, "app")
}

// On Kubernetes, trust in the controller follows the own bundle, also while nothing else changes.
func TestOwnBundleIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	svid := filepath.Join(dir, "svid")
	issue := func(ca string) {
		t.Helper()
		mustRun(t, "certs", "init", "--dir", filepath.Join(dir, ca), "--cluster", "aa")
		mustRun(t, "certs", "issue", "--dir", filepath.Join(dir, ca), "--cluster", "aa", "--out", svid)
	}
	issue("first")
	files, err := certs.NewFileSource(certs.FileSourceConfig{Dir: svid, Name: "aa"})
	fatal(t, err)
	p := &proxy{o: proxyOptions{cluster: "aa", kubernetes: true}, log: zap.NewNop(), identity: files, catalog: discovery.NewCatalog(nil)}
	p.auth, err = certs.NewAuthenticator(certs.Config{Source: files})
	fatal(t, err)
	p.node, err = tunnel.New(t.Context(), tunnel.Config{Cluster: "aa", Credentials: p.auth, Reason: certs.Reason})
	fatal(t, err)
	ctx, stop := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{files.Run, p.followPeers, p.node.Run} {
		g.Go(func() error { return part(ctx) })
	}
	t.Cleanup(func() {
		stop()
		fatal(t, g.Wait())
	})
	trusts := func(svid *x509svid.SVID) error {
		_, err := p.auth.PeerName(tls.ConnectionState{
			HandshakeComplete: true, Version: tls.VersionTLS13, NegotiatedProtocol: certs.ALPN, PeerCertificates: svid.Certificates,
		})
		return err
	}
	first, err := files.GetX509SVID()
	fatal(t, err)
	eventually(t, "the first is trusted", func() error { return trusts(first) })
	issue("second")
	var second *x509svid.SVID
	eventually(t, "the second is read", func() error {
		if second, err = files.GetX509SVID(); err == nil && second == first {
			err = errors.New("it is still the first")
		}
		return err
	})
	eventually(t, "the second is trusted", func() error { return trusts(second) })
	if err := trusts(first); err == nil {
		t.Error("the first is still trusted")
	}
}
