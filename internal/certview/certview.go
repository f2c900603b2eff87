// Package certview describes certificates as commands print them. It reads no keys, and judges nothing but validity.
package certview

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

// Cert is one certificate as -o json prints it.
type Cert struct {
	File string `json:"file"`
	// Position in the file, from 0; in a chain 0 is the leaf.
	Position int    `json:"position"`
	Subject  string `json:"subject"`
	Issuer   string `json:"issuer"`
	SPIFFEID string `json:"spiffeID,omitempty"`
	// Issues is true for a CA.
	Issues bool `json:"ca"`
	// PermittedURIDomains are the trust domains that a CA may issue for; none: all.
	PermittedURIDomains []string `json:"permittedURIDomains,omitempty"`
	// MaxPathLen is how many CAs may be below a CA; absent: any number.
	MaxPathLen *int      `json:"maxPathLen,omitempty"`
	Key        string    `json:"key"`
	Serial     string    `json:"serial"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	// Validity is valid, expired or not_yet_valid by this machine's clock.
	Validity string `json:"validity"`
	SHA256   string `json:"sha256"`
}

// Read describes the certificates of a file, or those of a directory as Eastway uses it. The error is fs.ErrNotExist if there is no such
// path, or nothing in it.
func Read(path string, now time.Time) ([]Cert, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no %s%w", path, missing{})
	case err != nil:
		return nil, fmt.Errorf("show certificates: %w", err)
	case !info.IsDir():
		return readFile(path, now)
	}
	var all []Cert
	for _, name := range []string{"tls.crt", "ca.crt", "root.crt"} {
		list, err := readFile(filepath.Join(path, name), now)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s holds no ca.crt, root.crt or tls.crt%w", path, missing{})
	}
	return all, nil
}

// missing is fs.ErrNotExist without words.
type missing struct{}

func (missing) Error() string        { return "" }
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

func readFile(path string, now time.Time) ([]Cert, error) {
	list, err := certs.ReadCertificates(path)
	return describeAll(path, list, err, now)
}

// Parse describes the certificates of a text, which is named.
func Parse(name string, text []byte, now time.Time) ([]Cert, error) {
	list, err := certs.ParseCertificates(text)
	return describeAll(name, list, err, now)
}

func describeAll(name string, list []*x509.Certificate, err error, now time.Time) ([]Cert, error) {
	if err != nil {
		return nil, fmt.Errorf("show certificates: %w", err)
	}
	all := make([]Cert, 0, len(list))
	for i, c := range list {
		all = append(all, describe(name, i, c, now))
	}
	return all, nil
}

func describe(path string, position int, c *x509.Certificate, now time.Time) Cert {
	s := Cert{
		File: path, Position: position,
		Subject: c.Subject.String(), Issuer: c.Issuer.String(),
		Issues: c.IsCA, PermittedURIDomains: c.PermittedURIDomains,
		Key: describeKey(c), Serial: fmt.Sprintf("%x", c.SerialNumber),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Validity: "valid",
		SHA256: peering.Fingerprint(c),
	}
	if len(c.URIs) > 0 {
		s.SPIFFEID = c.URIs[0].String()
	}
	if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		s.MaxPathLen = &c.MaxPathLen
	}
	switch {
	case now.Before(c.NotBefore):
		s.Validity = certs.ReasonNotYetValid
	case now.After(c.NotAfter):
		s.Validity = certs.ReasonExpired
	}
	return s
}

func describeKey(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	default:
		return c.PublicKeyAlgorithm.String()
	}
}

// Print is for people.
func Print(w io.Writer, shown []Cert, now time.Time) error {
	for i := range shown {
		s := &shown[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s #%d\n", s.File, s.Position+1)
		if err := terminal.Fields(w, certFields(s, now)); err != nil {
			return err
		}
	}
	return nil
}

func certFields(s *Cert, now time.Time) [][2]string {
	issuer := s.Issuer
	if s.Issuer == s.Subject {
		issuer = "itself"
	}
	fields := [][2]string{
		{"Subject", s.Subject},
		{"Issuer", issuer},
		{"SPIFFE ID", s.SPIFFEID},
		{"Validity", describeValidity(s, now)},
		{"CA", terminal.YesNo(s.Issues)},
	}
	if s.Issues {
		depth := "any number of CAs"
		if s.MaxPathLen != nil {
			depth = strconv.Itoa(*s.MaxPathLen) + " CAs"
		}
		permitted := "any trust domain"
		if len(s.PermittedURIDomains) > 0 {
			permitted = strings.Join(s.PermittedURIDomains, ", ") + " only"
		}
		fields = append(fields, [2]string{"Issues for", permitted}, [2]string{"Below it", depth})
	}
	return append(fields, [2]string{"Key", s.Key}, [2]string{"Serial", s.Serial}, [2]string{"SHA-256", s.SHA256})
}

func describeValidity(s *Cert, now time.Time) string {
	span := s.NotBefore.Format(time.RFC3339) + " to " + s.NotAfter.Format(time.RFC3339)
	switch s.Validity {
	case certs.ReasonExpired:
		return span + ", EXPIRED " + terminal.Age(now.Sub(s.NotAfter)) + " ago"
	case certs.ReasonNotYetValid:
		return span + ", NOT YET VALID for " + terminal.Age(s.NotBefore.Sub(now))
	default:
		return span + ", " + terminal.Age(s.NotAfter.Sub(now)) + " left"
	}
}
