package main

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

	"github.com/spf13/cobra"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/peering"
	"github.com/eastway/eastway/internal/terminal"
)

// shownCert is one certificate as -o json prints it.
type shownCert struct {
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

func newCertsShowCommand() *cobra.Command {
	var output outputFormat
	cmd := &cobra.Command{
		Use:   "show DIR|FILE",
		Short: "Show certificates: subject, SPIFFE ID, validity, constraints, chain",
		Long: `Show prints the certificates of a file (PEM, or a SPIFFE bundle in JSON), or those of a
directory as Eastway uses it: ca.crt, root.crt, tls.crt. A chain begins with the leaf.
It reads no keys.`,
		Example: `  eastway certs show ca
  eastway certs show proxy-tls/tls.crt -o json`,
		Args: arguments("DIR|FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shown, err := showPath(args[0], time.Now())
			if err != nil {
				return err
			}
			if output == outputJSON {
				return terminal.JSON(cmd.OutOrStdout(), shown)
			}
			return printCerts(cmd.OutOrStdout(), shown, time.Now())
		},
	}
	addOutputFlag(cmd, &output)
	return cmd
}

func showPath(path string, now time.Time) ([]shownCert, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, withExit(exitNotFound, fmt.Errorf("there is no %s", path))
	case err != nil:
		return nil, fmt.Errorf("show certificates: %w", err)
	case !info.IsDir():
		return showFile(path, now)
	}
	var shown []shownCert
	for _, name := range []string{"tls.crt", "ca.crt", "root.crt"} {
		list, err := showFile(filepath.Join(path, name), now)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		shown = append(shown, list...)
	}
	if len(shown) == 0 {
		return nil, withExit(exitNotFound, fmt.Errorf("%s holds no ca.crt, root.crt or tls.crt", path))
	}
	return shown, nil
}

func showFile(path string, now time.Time) ([]shownCert, error) {
	list, err := certs.ReadCertificates(path)
	if err != nil {
		return nil, fmt.Errorf("show certificates: %w", err)
	}
	shown := make([]shownCert, 0, len(list))
	for i, c := range list {
		shown = append(shown, describeCert(path, i, c, now))
	}
	return shown, nil
}

func describeCert(path string, position int, c *x509.Certificate, now time.Time) shownCert {
	s := shownCert{
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

func printCerts(w io.Writer, shown []shownCert, now time.Time) error {
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

func certFields(s *shownCert, now time.Time) [][2]string {
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

func describeValidity(s *shownCert, now time.Time) string {
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
