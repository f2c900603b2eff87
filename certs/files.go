package certs

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/internal/atomicfile"
)

const (
	// keyMode: only the owner may read a key.
	keyMode fs.FileMode = 0o600
	// certMode: certificates are public.
	certMode fs.FileMode = 0o644
	// dirMode of directories that hold keys.
	dirMode fs.FileMode = 0o700
	// othersMayRead are the mode bits that a CA's key must not have.
	othersMayRead fs.FileMode = 0o077
	// maxFile bounds any file that is read here, in bytes.
	maxFile = MaxBundle
)

// readFile reads a regular file of bounded size. A file that is not there is fs.ErrNotExist.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	// Stat first: opening a FIFO would hang.
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, atomicfile.Explain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, atomicfile.Explain(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, info, nil
}

func readCerts(path string) ([]*x509.Certificate, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parsePEM(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// readKey refuses a key that others may read.
func readKey(path string) (crypto.Signer, error) {
	data, info, err := readFile(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&othersMayRead != 0 {
		return nil, fmt.Errorf(
			"%s can be read by others (mode %04o): chmod 600 %s, and make a new CA if the key may have been copied",
			path, mode, path)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// WriteSVID writes an SVID and its trust bundle in the layout that a FileSource reads; dir is made
// when it is not there. Files that are there are replaced, each at once.
func WriteSVID(dir string, svid *x509svid.SVID, bundle *x509bundle.Bundle) error {
	if _, err := os.Lstat(filepath.Join(dir, caKeyFile)); err == nil {
		return fmt.Errorf("certs: %s holds a CA: choose another directory for certificates", dir)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("certs: make directory: %w", atomicfile.Explain(err))
	}
	key, err := encodeKey(svid.PrivateKey)
	if err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	for _, f := range []struct {
		name string
		data []byte
		mode fs.FileMode
	}{
		{svidBundleFile, encodeCerts(bundle.X509Authorities()), certMode},
		{svidKeyFile, key, keyMode},
		{svidCertFile, encodeCerts(svid.Certificates), certMode},
	} {
		if err := atomicfile.Write(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("certs: %w", err)
		}
	}
	return nil
}
