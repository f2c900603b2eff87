package peering

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Taken returns why the manifest must not replace the Peer of its name that is in where; nil if it may.
func (m Manifest) Taken(old *v1alpha1.Peer, where string) error {
	if old == nil || old.Spec.SPIFFEID == m.Peer.Spec.SPIFFEID {
		return nil
	}
	return fmt.Errorf("the name %q is taken: in %s it is %s, in this manifest %s. "+
		"If that cluster really has a new CA, verify that and remove that Peer first",
		m.Peer.Name, where, old.Spec.SPIFFEID, m.Peer.Spec.SPIFFEID)
}

// Changes returns what the manifest changes about the Peer that was imported before, one line for each; none if nothing.
func (m Manifest) Changes(old *v1alpha1.Peer) []string {
	var changes []string
	note := func(format string, args ...any) {
		changes = append(changes, fmt.Sprintf("peer %s: ", m.Peer.Name)+fmt.Sprintf(format, args...))
	}
	var before []*x509.Certificate
	if was, err := certs.ParsePeer(old.Name, old.Spec.SPIFFEID, old.Spec.TrustBundle); err == nil {
		before = was.Bundle.X509Authorities()
	}
	after := m.Identity.Bundle.X509Authorities()
	root := func(c *x509.Certificate) string {
		return fmt.Sprintf("%s, valid until %s, SHA-256 %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339), Fingerprint(c))
	}
	for _, c := range without(after, before) {
		note("trust bundle: new root %s", root(c))
	}
	for _, c := range without(before, after) {
		note("trust bundle: dropped root %s", root(c))
	}
	if !slices.Equal(old.Spec.Addresses, m.Peer.Spec.Addresses) {
		note("addresses: %s, were %s", join(m.Peer.Spec.Addresses), join(old.Spec.Addresses))
	}
	if is := m.Peer.Spec.Localities; len(is) > 0 && !slices.Equal(old.Spec.Localities, is) {
		note("localities: %s, were %s", join(is), join(old.Spec.Localities))
	}
	if len(changes) == 0 && old.Spec.TrustBundle != m.Peer.Spec.TrustBundle {
		note("trust bundle: same roots in another form")
	}
	return changes
}

// Notes are what an operator should know about the manifest and cannot see in its text.
func (m Manifest) Notes() []string {
	var notes []string
	td := m.Identity.ID.TrustDomain()
	for _, c := range m.Identity.Bundle.X509Authorities() {
		if certs.HeldTo(c, td) {
			continue
		}
		notes = append(notes, fmt.Sprintf("the root %s is not held to the trust domain %s, others may have CAs below it: a cluster that imports "+
			"this accepts what a CA below it issues, if that CA is held to %s", c.Subject, td.Name(), td.Name()))
	}
	if ending := certs.Ending(m.Identity.Bundle, time.Now()); ending != "" {
		notes = append(notes, "the trust bundle of "+m.Peer.Name+": "+ending)
	}
	if len(m.Peer.Spec.Addresses) == 0 {
		notes = append(notes, "without an address this cluster cannot be dialed: it dials its peers, which need an address each; "+
			"calls go both ways all the same")
	}
	return notes
}

// Fingerprint is the SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` groups it, in lower case.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	out := make([]byte, 0, 3*len(sum))
	for i, b := range sum {
		if i > 0 {
			out = append(out, ':')
		}
		out = hex.AppendEncode(out, []byte{b})
	}
	return string(out)
}

func without(list, drop []*x509.Certificate) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(list), func(c *x509.Certificate) bool {
		return slices.ContainsFunc(drop, c.Equal)
	})
}

func join(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
