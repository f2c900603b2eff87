package relay

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"syscall"
	"testing"
)

// above is a Conn on a socket, as TLS has one.
type above struct{ *net.TCPConn }

func (a above) NetConn() net.Conn { return a.TCPConn }

// What is special to sockets applies to the one below a Conn: its reset is noticed while nothing reads, and its end is pending.
func TestLayered(t *testing.T) {
	t.Parallel()
	w := watcher(t)
	ours, theirs := pair(t)
	s, err := NewSocket(above{ours}, w)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.(*layered); !ok {
		t.Fatalf("it is %T", s)
	}
	if Pending(s) {
		t.Error("pending without cause")
	}
	if err := errors.Join(theirs.SetLinger(0), theirs.Close()); err != nil {
		t.Fatal(err)
	}
	<-s.Broken()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if !Pending(s) {
		t.Error("the end is not pending")
	}
	s.Abort("")
}

// The end of TLS is pending, in both versions; what else TLS sends by itself is not.
func TestEndsTLS(t *testing.T) {
	t.Parallel()
	record := func(kind byte, length int) []byte {
		return append([]byte{kind, 3, 3, byte(length >> 8), byte(length)}, make([]byte, length)...)
	}
	ticket := record(23, 250)
	for name, c := range map[string]struct {
		bytes []byte
		want  bool
	}{
		"nothing":                {nil, false},
		"a part of a header":     {[]byte{21, 3, 3}, false},
		"a ticket":               {ticket, false},
		"a part of a ticket":     {ticket[:100], false},
		"an alert of TLS 1.2":    {record(21, 26), true},
		"an alert of TLS 1.3":    {record(23, 19), true},
		"an alert after tickets": {append(append(append([]byte{}, ticket...), ticket...), record(23, 19)...), true},
	} {
		if got := endsTLS(c.bytes); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if got := endOf(t, version); !endsTLS(got) {
			t.Errorf("%s ends with % x", tls.VersionName(version), got)
		}
	}
}

// endOf is what package tls sends when a connection ends.
func endOf(t *testing.T, version uint16) []byte {
	t.Helper()
	ours, theirs := pair(t)
	server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, MaxVersion: version, SessionTicketsDisabled: true})
	done := make(chan error, 1)
	go func() { done <- server.HandshakeContext(t.Context()) }()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
	if err := errors.Join(client.HandshakeContext(t.Context()), <-done, server.Close()); err != nil {
		t.Fatal(err)
	}
	end, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
