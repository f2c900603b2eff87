package originate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/eastway/eastway/discovery"
)

// material is what the files of one service hold.
type material struct {
	roots       *x509.CertPool   // nil: the system's
	certificate *tls.Certificate // nil: none
}

// files are those of one service, in the order CAFile, CertFile, KeyFile.
type files [3]string

func filesOf(t *discovery.TLS) files { return files{t.CAFile, t.CertFile, t.KeyFile} }

// stamps are how the files looked when they were read.
type stamps [3]fs.FileInfo

// look does not read them.
func (f files) look() stamps {
	var out stamps
	for i, path := range f {
		if path != "" {
			out[i], _ = os.Stat(path) // reading says what is wrong
		}
	}
	return out
}

// same is true when no file has changed.
func (s stamps) same(o stamps) bool {
	for i := range s {
		switch {
		case s[i] == nil && o[i] == nil:
		case s[i] == nil || o[i] == nil, !os.SameFile(s[i], o[i]),
			!s[i].ModTime().Equal(o[i].ModTime()), s[i].Size() != o[i].Size():
			return false
		}
	}
	return true
}

// read reads them all.
func (f files) read() (*material, error) {
	m := new(material)
	if path := f[0]; path != "" {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate: write the roots there, in PEM", path)
		}
	}
	if f[1] == "" {
		return m, nil
	}
	var text [2][]byte
	for i, path := range f[1:] {
		var err error
		if text[i], err = readFile(path); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(text[0], text[1])
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w: write a certificate and its key there, in PEM", f[1], f[2], err)
	}
	m.certificate = &pair
	return m, nil
}

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	switch info, err := os.Stat(path); { // opening a FIFO would hang
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file: name a PEM file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s has more than %d bytes: name a file of certificates", path, maxFile)
	}
	return text, nil
}
