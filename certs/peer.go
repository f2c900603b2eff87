package certs

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Peer is a cluster that is trusted: exactly this ID, vouched for by this bundle.
type Peer struct {
	Name   string
	ID     spiffeid.ID
	Bundle *x509bundle.Bundle
	// Denied: nothing is accepted of the peer, whatever it presents.
	Denied bool
	// DeniedSerials are numbers of certificates that are not accepted: neither its own nor those of intermediate CAs.
	DeniedSerials []*big.Int
}

// FieldError is an error in a field of a Peer manifest.
type FieldError struct {
	// Field is "metadata.name", "spec.spiffeID" or "spec.trustBundle".
	Field string
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

// ParsePeer checks the fields of a Peer manifest against each other; its errors are of
// type *FieldError.
func ParsePeer(name, spiffeID, trustBundle string) (Peer, error) {
	if err := checkName(name); err != nil {
		return Peer{}, &FieldError{"metadata.name", err}
	}
	const fieldID = "spec.spiffeID"
	id, err := spiffeid.FromString(spiffeID)
	if err != nil {
		return Peer{}, &FieldError{fieldID, fmt.Errorf("%.100q: %w", spiffeID, err)}
	}
	in, err := ClusterName(id)
	if err != nil {
		return Peer{}, &FieldError{fieldID, err}
	}
	if in != name {
		return Peer{}, &FieldError{fieldID, fmt.Errorf("%q is the ID of cluster %q, but the peer's name is %q", id, in, name)}
	}
	bundle, err := ParseBundle(id.TrustDomain(), []byte(trustBundle))
	if err != nil {
		return Peer{}, &FieldError{"spec.trustBundle", err}
	}
	if err := checkHeld(bundle); err != nil {
		return Peer{}, &FieldError{"spec.trustBundle", err}
	}
	return Peer{Name: name, ID: id, Bundle: bundle}, nil
}

// checkHeld refuses a bundle that cannot verify the peer: each root is held to other trust domains (RFC 5280, name constraints).
func checkHeld(bundle *x509bundle.Bundle) error {
	td := bundle.TrustDomain().Name()
	for _, root := range bundle.X509Authorities() {
		domains := root.PermittedURIDomains
		if len(domains) == 0 || slices.ContainsFunc(domains, func(d string) bool {
			d = strings.ToLower(d) // the case of a host is not significant
			return td == d || strings.HasSuffix(td, "."+strings.TrimPrefix(d, "."))
		}) {
			return nil
		}
	}
	root := bundle.X509Authorities()[0]
	return fmt.Errorf("the root %q is held to the trust domain %.100q, but the SPIFFE ID is of %q: ID and bundle are of two clusters",
		root.Subject, strings.Join(root.PermittedURIDomains, " "), td)
}

// validate guards against peers that were not made by ParsePeer.
func (p Peer) validate() error {
	in, err := ClusterName(p.ID)
	switch {
	case err != nil:
		return err
	case in != p.Name:
		return fmt.Errorf("ID %q is not that of cluster %q", p.ID, p.Name)
	case p.Bundle == nil || p.Bundle.Empty():
		return errors.New("trust bundle is empty")
	case p.Bundle.TrustDomain() != p.ID.TrustDomain():
		return fmt.Errorf("trust bundle is for %q, the ID is of %q", p.Bundle.TrustDomain(), p.ID.TrustDomain())
	}
	return nil
}
