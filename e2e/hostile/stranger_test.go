package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// stranger has a certificate that claims to be the peer's, issued by a CA whose name has 13 KiB.
func stranger(id string) (tls.Certificate, error) {
	uri, err := url.Parse(id)
	if err != nil {
		return tls.Certificate{}, err
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a\u009b2Jstranger" + strings.Repeat("!", 13<<10)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, URIs: []*url.URL{uri},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &leafKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafKey}, nil
}

// Strangers fill no disk: their certificates' names are clipped, and few of their failures are logged.
func TestStrangersFillNoLog(t *testing.T) { //nolint:paralleltest // it measures the process
	w := startWorld(t, &config{})
	const name = "certificates of strangers"
	_, logged := w.victim.log.size()
	w.suffer(t, &attack{
		name: name, budget: 64 * MiB, share: 0.5,
		begin: func(ctx context.Context, t *testing.T) func() {
			t.Helper()
			return w.run(ctx, t, name, w.victim.node.Addr().String()+" "+w.certs[evil].Peer.ID.String())
		},
	})
	_, size := w.victim.log.size()
	t.Logf("%d knocks in %v wrote %d bytes of log", w.counted, *attackFor, size-logged)
	refused := strings.Count(w.victim.log.String(), "tunnel connection refused")
	if refused == 0 || refused > 2+int(*attackFor/time.Minute) || size-logged > 2000*(refused+1) {
		t.Errorf("%d lines, %d bytes of log for %d strangers: %.3000s", refused, size-logged, w.counted, w.victim.log)
	}
}
