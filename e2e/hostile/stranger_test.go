package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

// stranger has a certificate that claims to be the peer's, issued by a CA whose name has 13 KiB.
func stranger(t *testing.T, id string) tls.Certificate {
	t.Helper()
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a\u009b2Jstranger" + strings.Repeat("!", 13<<10)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}
}

// Strangers fill no disk: their certificates' names are clipped, and few of their failures are logged.
func TestStrangersFillNoLog(t *testing.T) { //nolint:paralleltest // it measures the process
	w := startWorld(t, &config{})
	cfg := &tls.Config{
		Certificates: []tls.Certificate{stranger(t, w.certs[evil].Peer.ID.String())}, NextProtos: []string{certs.ALPN},
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
	}
	var knocks atomic.Int64
	_, logged := w.victim.log.size()
	w.suffer(t, &attack{
		name: "certificates of strangers", budget: 64 * MiB,
		begin: func(ctx context.Context, _ *testing.T) func() {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for ctx.Err() == nil {
						c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", w.victim.node.Addr().String())
						if err != nil {
							continue
						}
						_, _ = io.Copy(io.Discard, c) // until it is refused
						_ = c.Close()
						knocks.Add(1)
					}
				})
			}
			return wg.Wait
		},
	})
	_, size := w.victim.log.size()
	t.Logf("%d knocks in %v wrote %d bytes of log", knocks.Load(), *attackFor, size-logged)
	refused := strings.Count(w.victim.log.String(), "tunnel connection refused")
	if refused == 0 || refused > 2+int(*attackFor/time.Minute) || size-logged > 2000*(refused+1) {
		t.Errorf("%d lines, %d bytes of log for %d strangers: %.3000s", refused, size-logged, knocks.Load(), w.victim.log)
	}
}
