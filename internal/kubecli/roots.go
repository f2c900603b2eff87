package kubecli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Fingerprint of a root, as RootsAnnotation has it.
func Fingerprint(root *x509.Certificate) string {
	sum := sha256.Sum256(root.Raw)
	return hex.EncodeToString(sum[:8])
}

// RecordRoots notes on the Peer which roots of the cluster c that peer has been given, so that one that it lacks is noticed.
func RecordRoots(ctx context.Context, c *Cluster, peer string, given *x509bundle.Bundle) error {
	var all []string
	for _, root := range given.X509Authorities() {
		all = append(all, Fingerprint(root))
	}
	slices.Sort(all)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		v1alpha1.RootsAnnotation: strings.Join(all, ","),
	}}})
	if err != nil {
		return fmt.Errorf("annotate Peer %s: %w", peer, err)
	}
	p := &v1alpha1.Peer{}
	p.Name = peer
	err = c.client.Patch(ctx, p, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(FieldManager+"-roots"))
	return c.explain("annotate Peer "+peer, err)
}

// Lacks are the roots that the peer has not been given; known is false without a record of what it has.
func Lacks(p *v1alpha1.Peer, roots []*x509.Certificate) (lacking []*x509.Certificate, known bool) {
	given, known := p.Annotations[v1alpha1.RootsAnnotation]
	if !known {
		return nil, false
	}
	has := strings.Split(given, ",")
	return slices.DeleteFunc(slices.Clone(roots), func(root *x509.Certificate) bool { return slices.Contains(has, Fingerprint(root)) }), true
}

// CA of the cluster, from its Secret; nil if the proxies' certificate is issued elsewhere. The error is ErrNotFound if there is no Secret.
func CA(ctx context.Context, c *Cluster) (*certs.CA, error) {
	var svid, secret corev1.Secret
	key := c.object("ca")
	if err := c.client.Get(ctx, c.object("svid"), &svid); err == nil && svid.Labels[managedByLabel] != v1alpha1.ManagedByName {
		return nil, nil
	}
	if err := c.client.Get(ctx, key, &secret); err != nil {
		return nil, c.explain("read Secret "+key.String(), err)
	}
	ca, err := certs.ParseCA(certs.SecretOf(secret.Data), certs.Options{})
	if err != nil {
		return nil, fmt.Errorf("the CA in Secret %s cannot be used: %w", key, err)
	}
	return ca, nil
}
