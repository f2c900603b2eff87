package peering

import (
	"fmt"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Own is what other clusters need of a cluster without Kubernetes.
type Own struct {
	Cluster               string
	Bundle                *x509bundle.Bundle
	Addresses, Localities []string
	Format                certs.Format
	// Doubt is why they would refuse the present certificate; nil: they would not.
	Doubt error
}

// Read takes the bundle from the directory of the CA or, if that is empty, of a certificate that another program renews.
func (o *Own) Read(ca, svid string) error {
	if ca != "" {
		c, err := certs.OpenCA(ca, certs.Options{})
		if err == nil {
			o.Bundle = c.Bundle()
		}
		return err
	}
	var err error
	if o.Bundle, o.Doubt, err = certs.ReadPublic(svid, o.Cluster); err != nil {
		return fmt.Errorf("--svid: %w", err)
	}
	return nil
}

// Manifest is for other clusters to import, once Read has succeeded.
func (o *Own) Manifest() (Manifest, error) {
	id, err := certs.ClusterID(o.Bundle.TrustDomain(), o.Cluster)
	if err != nil {
		return Manifest{}, fmt.Errorf("--cluster: %w", err)
	}
	text, err := certs.MarshalBundle(o.Bundle, o.Format)
	if err != nil {
		return Manifest{}, fmt.Errorf("--format: %w", err)
	}
	peer := &v1alpha1.Peer{Spec: v1alpha1.PeerSpec{
		SPIFFEID: id.String(), TrustBundle: string(text), Addresses: o.Addresses, Localities: o.Localities,
	}}
	peer.Name = o.Cluster
	return New(peer)
}
