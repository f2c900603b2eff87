package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is no longer accepted of a peer ends its tunnels and their streams at once: denied certificates, a denied identity, a Peer that is
// removed, another trust bundle. Status and log say why, and what is accepted again connects again.
func TestTrustEndsTunnels(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		// change what cluster bb trusts, and return how that is undone.
		change func(t *testing.T, a, b *site) (undo func())
		reason string // in status
		text   string // in the log
	}{
		"denied serial": {func(t *testing.T, a, b *site) func() {
			t.Helper()
			b.edit(t, "denied: [{serial: "+a.serial(t)+"}]")
			return func() { a.issue(t) } // the peer gets another certificate
		}, "denied", "is in spec.denied of its Peer"},
		"denied ID": {func(t *testing.T, _, b *site) func() {
			t.Helper()
			return b.edit(t, "denied: [{spiffeID: 'spiffe://aa.eastway.internal/eastway/cluster/aa'}]")
		}, "denied", "its SPIFFE ID is in spec.denied of its Peer"},
		"peer remove": {func(t *testing.T, a, b *site) func() {
			t.Helper()
			mustRun(t, "peer", "remove", "aa", "--config", b.config)
			return func() { b.trust(t, a) }
		}, "", "peer was removed, tunnel closed"},
		"another bundle": {func(t *testing.T, a, b *site) func() {
			t.Helper()
			b.retrust(t, newSite(t, "aa"))
			return func() { b.retrust(t, a) }
		}, "unknown_authority", "leads to no root in the peer's trust bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newSite(t, "aa"), newSite(t, "bb")
			vip, app := newAddress(), newAddress()
			startApp(t, "app", app)
			a.write(t, "shop.yaml", serviceManifest("shop", vip))
			b.write(t, "shop.yaml", serviceManifest("shop", newAddress(), endpoint{app, "bb-1"}))
			a.trust(t, b, b.tunnel())
			b.trust(t, a)
			a.issue(t)
			pa, pb := a.start(t, "--ca", "", "--svid", filepath.Join(a.dir, "svid")), b.start(t)
			pa.serves(t, "shop", "bb")
			c, err := dialService(t, vip)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.ask("hello"); err != nil || got != "app" {
				t.Fatalf("answered by %q, %v", got, err)
			}
			began := time.Now()
			undo := tt.change(t, a, b)
			if line, err := c.lines.ReadString('\n'); err == nil {
				t.Fatalf("read %q", line)
			}
			t.Logf("the stream ended after %v", time.Since(began))
			eventually(t, "status says why", func() error {
				peers := pb.status(t).Peers
				if tt.reason == "" && len(peers) == 0 ||
					len(peers) == 1 && len(peers[0].Links) == 0 && peers[0].Reason == tt.reason && tt.reason != "" {
					return nil
				}
				return fmt.Errorf("%+v", peers)
			})
			if log := pb.stderr.String(); !strings.Contains(log, tt.text) {
				t.Errorf("the log of bb does not have %q:\n%s", tt.text, log)
			}
			undo()
			pa.serves(t, "shop", "bb")
		})
	}
}

// issue makes the site's proxy a new certificate.
func (s *site) issue(t *testing.T) {
	t.Helper()
	mustRun(t, "certs", "issue", "--dir", s.ca, "--cluster", s.name, "--out", filepath.Join(s.dir, "svid"))
}

// serial of the site's certificate, as `openssl x509 -serial` prints it.
func (s *site) serial(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "svid", "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%X", leaf.SerialNumber)
}

// edit adds a field to the spec of cluster aa's Peer.
func (s *site) edit(t *testing.T, field string) (undo func()) {
	t.Helper()
	const file = "peer-aa.yaml"
	was, err := os.ReadFile(filepath.Join(s.config, file))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, file, strings.Replace(string(was), "spec:\n", "spec:\n  "+field+"\n", 1))
	return func() { s.write(t, file, string(was)) }
}
