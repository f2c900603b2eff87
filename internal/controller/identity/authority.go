package identity

import (
	"context"
	"fmt"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
)

// authority is the CA in its Secret, made when there is none. A Secret that is there is never written.
func (r *Reconciler) authority(ctx context.Context) (*certs.CA, error) {
	for {
		s, err := r.secret(ctx, r.cfg.CASecret)
		if err != nil {
			return nil, err
		}
		if s != nil {
			ca, err := certs.ParseCA(certs.SecretOf(s.Data), certs.Options{TrustDomain: r.cfg.TrustDomain, Now: r.cfg.Now})
			if err != nil {
				return nil, fmt.Errorf("the CA in Secret %s/%s cannot be used and was left as it is; the present certificate is used until it "+
					"expires. Restore the Secret, or delete it and have every peer import this cluster's Peer again: %w",
					r.cfg.Namespace, r.cfg.CASecret, err)
			}
			return ca, nil
		}
		err = r.makeAuthority(ctx)
		if err != nil && !apierrors.IsAlreadyExists(err) { // another replica was faster: its CA counts
			return nil, err
		}
	}
}

func (r *Reconciler) makeAuthority(ctx context.Context) error {
	td := r.cfg.TrustDomain
	if td.IsZero() {
		var err error
		if td, err = certs.DefaultTrustDomain(r.cfg.Cluster); err != nil {
			return err
		}
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td, Now: r.cfg.Now})
	if err != nil {
		return err
	}
	content, err := ca.Secret()
	if err != nil {
		return err
	}
	s := r.newSecret(r.cfg.CASecret, content)
	s.OwnerReferences = nil // an installation that is removed and recreated is the same cluster to its peers
	if err := r.cfg.Writer.Create(ctx, s); err != nil {
		return err
	}
	r.log.Info("certificate authority made", zap.String("secret", s.Name), zap.String("trust_domain", td.Name()),
		zap.Time("expires", ca.Certificate().NotAfter))
	return nil
}

// secret is nil when there is none of that name.
func (r *Reconciler) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := r.cfg.Direct.Get(ctx, client.ObjectKey{Namespace: r.cfg.Namespace, Name: name}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Secret %s/%s: %w", r.cfg.Namespace, name, err)
	}
	return s, nil
}
