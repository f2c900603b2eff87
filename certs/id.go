package certs

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// idPrefix is the path of every cluster's SPIFFE ID, before the cluster's name.
const idPrefix = "/eastway/cluster/"

// nodePath is the path of the SPIFFE ID of all node agents.
const nodePath = "/eastway/node"

// maxName bounds a cluster's name, in bytes: it is used as a DNS label (RFC 1123).
const maxName = 63

// maxTrustDomain bounds a trust domain, in bytes: it is the host of a URI and of
// a name constraint (RFC 1035).
const maxTrustDomain = 253

// ClusterID is spiffe://TRUSTDOMAIN/eastway/cluster/NAME, the one identity of all
// proxies of a cluster. The name is a DNS label of at most 63 bytes.
func ClusterID(td spiffeid.TrustDomain, name string) (spiffeid.ID, error) {
	if err := checkName(name); err != nil {
		return spiffeid.ID{}, err
	}
	if err := checkTrustDomain(td); err != nil {
		return spiffeid.ID{}, err
	}
	return spiffeid.FromPath(td, idPrefix+name)
}

// NodeID is spiffe://TRUSTDOMAIN/eastway/node, the one identity of all node agents of a cluster.
func NodeID(td spiffeid.TrustDomain) (spiffeid.ID, error) {
	if err := checkTrustDomain(td); err != nil {
		return spiffeid.ID{}, err
	}
	return spiffeid.FromPath(td, nodePath)
}

// ClusterName is the NAME of an ID made by ClusterID.
func ClusterName(id spiffeid.ID) (string, error) {
	name, ok := strings.CutPrefix(id.Path(), idPrefix)
	if !ok {
		return "", fmt.Errorf("SPIFFE ID %q is not of the form spiffe://TRUSTDOMAIN%sNAME", id, idPrefix)
	}
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("SPIFFE ID %q: %w", id, err)
	}
	if err := checkTrustDomain(id.TrustDomain()); err != nil {
		return "", err
	}
	return name, nil
}

// DefaultTrustDomain is NAME.eastway.internal: ".internal" is reserved for private
// use, so that no public CA ever vouches for it.
func DefaultTrustDomain(name string) (spiffeid.TrustDomain, error) {
	if err := checkName(name); err != nil {
		return spiffeid.TrustDomain{}, err
	}
	return spiffeid.TrustDomainFromString(name + ".eastway.internal")
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("cluster name is empty")
	case len(name) > maxName:
		return fmt.Errorf("cluster name of %d bytes is longer than %d", len(name), maxName)
	case name[0] == '-' || name[len(name)-1] == '-':
		return fmt.Errorf("cluster name %q must begin and end with a letter or digit", name)
	}
	for _, c := range []byte(name) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return fmt.Errorf("cluster name %q may only hold lower case letters, digits and dashes", name)
		}
	}
	return nil
}

// checkTrustDomain refuses what SPIFFE allows but a URI name constraint cannot express.
func checkTrustDomain(td spiffeid.TrustDomain) error {
	s := td.Name()
	if td.IsZero() {
		return errors.New("trust domain is empty")
	}
	if len(s) > maxTrustDomain {
		return fmt.Errorf("trust domain of %d bytes is longer than %d", len(s), maxTrustDomain)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("trust domain %q is an IP address, use a name such as NAME.eastway.internal", s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return fmt.Errorf("trust domain %q has an empty label", s)
		}
	}
	return nil
}
