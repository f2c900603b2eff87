package certs_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func sec1(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// written is a CA's or proxy's certificate and key as some program writes them.
type written struct{ cert, key, roots []byte }

func crlf(data []byte) []byte { return bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")) }

func around(data []byte) []byte {
	return []byte("Bag Attributes\n    friendlyName: -----x-----\n" + string(data) + "Certificate:\n    Data:\n        Version: 3 (0x2)\n")
}

func indented(data []byte) []byte {
	return append([]byte("  "), bytes.ReplaceAll(data, []byte("\n"), []byte("\n  "))...)
}

// variants are a certificate and key as programs write them.
func variants(t *testing.T, cert []byte, key crypto.Signer, roots []byte) map[string]written {
	t.Helper()
	pkcs8, all := pemKey(t, key), map[string]written{}
	add := func(name string, key []byte) { all[name] = written{cert, key, roots} }
	add("PKCS #8", pkcs8)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		add("PKCS #1", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)))
		add("PKCS #1 under another name", pemBlock("PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)))
	case *ecdsa.PrivateKey:
		der := sec1(t, k)
		add("SEC 1", pemBlock("EC PRIVATE KEY", der))
		// prime256v1, as openssl ecparam -genkey prints it.
		parameters := pemBlock("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7})
		add("EC PARAMETERS first", append(parameters, pemBlock("EC PRIVATE KEY", der)...))
	}
	add("certificate and key in one file", append(bytes.Clone(cert), pkcs8...))
	for name, edit := range map[string]func([]byte) []byte{
		"CRLF": crlf, "text around": around, "indented": indented,
		"byte order mark": func(data []byte) []byte { return append([]byte("\xef\xbb\xbf"), data...) },
		"no last newline": bytes.TrimSpace,
		"old name": func(data []byte) []byte {
			return bytes.ReplaceAll(data, []byte(" CERTIFICATE-"), []byte(" X509 CERTIFICATE-"))
		},
	} {
		all[name] = written{edit(cert), edit(pkcs8), edit(roots)}
	}
	return all
}

// Keys and certificates are read in each form that common programs write: in the files of --svid and --ca, and in Secrets.
func TestKeysAsProgramsWriteThem(t *testing.T) {
	t.Parallel()
	for kind, key := range map[string]crypto.Signer{"RSA": rsaKey(t), "ECDSA": testKey(t)} {
		ca := &x509.Certificate{
			Subject: subject("CA"), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, PermittedURIDomains: []string{"a.test"},
		}
		root := pemCerts(signed(t, ca, ca, key.Public(), key))
		for name, w := range variants(t, root, key, root) {
			t.Run(kind+" CA "+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				writeFiles(t, dir, map[string][]byte{"ca.crt": w.cert, "ca.key": w.key, "root.crt": w.roots})
				if _, err := certs.OpenCA(dir, certs.Options{}); err != nil {
					t.Error(err)
				}
				if _, err := certs.ParseCA(certs.Secret{Cert: w.cert, Key: w.key, Roots: w.roots}, certs.Options{}); err != nil {
					t.Error(err)
				}
				if _, err := certs.ParseBundle(domain(t, "a.test"), w.roots); err != nil {
					t.Error(err)
				}
			})
		}
		leaf := pemCerts(signed(t, leafTemplate(t, "spiffe://a.test/eastway/cluster/cluster-a"), ca, key.Public(), key))
		for name, w := range variants(t, leaf, key, root) {
			t.Run(kind+" SVID "+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				writeFiles(t, dir, map[string][]byte{"tls.crt": w.cert, "tls.key": w.key, "ca.crt": w.roots})
				if _, err := certs.NewFileSource(certs.FileSourceConfig{Dir: dir, Name: "cluster-a"}); err != nil {
					t.Error(err)
				}
				if _, _, err := certs.ParseSVID("cluster-a", certs.Secret{Cert: w.cert, Key: w.key, Roots: w.roots}); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What cannot be used is named, with what to do.
func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "a.test", nil)
	svid, err := ca.Issue("cluster-a", 0)
	if err != nil {
		t.Fatal(err)
	}
	good, err := certs.EncodeSVID(svid, ca.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	oldStyle := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: []byte("x"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
	})
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(good.Cert), []byte("\n"))
	for name, c := range map[string]struct {
		cert, key []byte
		want      string
	}{
		"encrypted":            {nil, pemBlock("ENCRYPTED PRIVATE KEY", []byte("x")), "`openssl pkey -in FILE -out DECRYPTED`"},
		"encrypted, old style": {nil, oldStyle, "decrypt it with `openssl pkey"},
		"of ssh-keygen":        {nil, pemBlock("OPENSSH PRIVATE KEY", []byte("x")), "ssh-keygen -p -m PKCS8"},
		"public key":           {nil, pemBlock("PUBLIC KEY", []byte("x")), `tls.key: no PEM private key found, only a "PUBLIC KEY"`},
		"no key":               {nil, []byte("x"), "tls.key: no PEM private key found"},
		"broken RSA key":       {nil, pemBlock("RSA PRIVATE KEY", []byte("x")), "the RSA PRIVATE KEY cannot be read"},
		"broken EC key":        {nil, pemBlock("EC PRIVATE KEY", []byte("x")), "the EC PRIVATE KEY cannot be read"},
		"P-224":                {nil, pemBlock("EC PRIVATE KEY", sec1(t, p224)), "use P-256"},
		"another's key":        {nil, pemKey(t, testKey(t)), "do not belong together"},
		"key without breaks":   {nil, bytes.ReplaceAll(good.Key, []byte("\n"), []byte(" ")), "tls.key: PEM block 1, line 1: its line br"},
		"without breaks":       {bytes.ReplaceAll(good.Cert, []byte("\n"), nil), nil, "tls.crt: PEM block 1, line 1: its line breaks are lost"},
		"escaped breaks":       {bytes.ReplaceAll(good.Cert, []byte("\n"), []byte(`\n`)), nil, `printf '%b'`},
		"cut off":              {bytes.Join(lines[:len(lines)-2], []byte("\n")), nil, "there is no -----END line"},
		"second cut off":       {append(bytes.Clone(good.Cert), bytes.Join(lines[:3], []byte("\n"))...), nil, "PEM block 2"},
		"damaged":              {bytes.Replace(good.Cert, []byte("MII"), []byte("M!!"), 1), nil, "is damaged"},
		"UTF-16":               {[]byte("\xff\xfe-\x00"), nil, "save it as UTF-8"},
		"DER":                  {svid.Certificates[0].Raw, nil, "openssl x509 -inform DER"},
		"no certificate":       {[]byte("x"), nil, "tls.crt: no PEM certificate found"},
		"not a CA above":       {append(bytes.Clone(good.Cert), good.Cert...), nil, "certificate 2"},
	} {
		s := good
		if c.cert != nil {
			s.Cert = c.cert
		}
		if c.key != nil {
			s.Key = c.key
		}
		if _, _, err := certs.ParseSVID("cluster-a", s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, got %v", name, c.want, err)
		}
	}
}

func FuzzParseSVID(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN EC PARAMETERS-----\n-----BEGIN PRIVATE KEY-----\n"))
	f.Add([]byte("\xef\xbb\xbf-----BEGIN CERTIFICATE-----\\n"),
		[]byte("-----BEGIN RSA PRIVATE KEY-----\r\nDEK-Info: x\r\n\r\n-----END RSA PRIVATE KEY-----"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		svid, _, err := certs.ParseSVID("", certs.Secret{Cert: cert, Key: key, Roots: cert})
		if err == nil && (svid.PrivateKey == nil || len(svid.Certificates) == 0) {
			t.Error("an SVID without key or certificate")
		}
	})
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
