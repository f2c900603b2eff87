package identity

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/controller/apply"
)

// authority is the CA in its Secret, made when there is none and never was. A Secret that is there is never written. svid is the
// Secret of the proxies' certificate, nil if there is none.
func (r *Reconciler) authority(ctx context.Context, svid *corev1.Secret) (*certs.CA, error) {
	for {
		s, err := r.secret(ctx, r.cfg.CASecret)
		if err != nil {
			return nil, err
		}
		if s != nil {
			ca, err := certs.ParseCA(certs.SecretOf(s.Data), certs.Options{TrustDomain: r.cfg.TrustDomain, Now: r.cfg.Now})
			if err != nil {
				return nil, fmt.Errorf("the CA in Secret %s/%s cannot be used and was left as it is; the present certificate is used until it "+
					"expires. Restore the Secret from a backup: %w",
					r.cfg.Namespace, r.cfg.CASecret, err)
			}
			return ca, nil
		}
		if err := r.neverMade(ctx, svid); err != nil {
			return nil, err
		}
		err = r.makeAuthority(ctx)
		if err != nil && !apierrors.IsAlreadyExists(err) { // another replica was faster: its CA counts
			return nil, err
		}
	}
}

// lostReason is that of the event about a CA that is gone.
const lostReason = "CALost"

// neverMade is an error if the installation had a CA before: peers trust its roots, and would trust no certificate of another one.
func (r *Reconciler) neverMade(ctx context.Context, svid *corev1.Secret) error {
	var records, objects []string
	if svid != nil && !r.leftBehind(svid) {
		records, objects = append(records, "Secret "+svid.Name), append(objects, "secret/"+svid.Name)
	}
	published := &corev1.ConfigMap{}
	switch err := r.cfg.Direct.Get(ctx, client.ObjectKey{Namespace: r.cfg.Namespace, Name: r.cfg.ConfigMap}, published); {
	case err == nil && !r.leftBehind(published):
		records, objects = append(records, "ConfigMap "+published.Name), append(objects, "configmap/"+published.Name)
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("read ConfigMap %s/%s: %w", r.cfg.Namespace, r.cfg.ConfigMap, err)
	}
	if len(records) == 0 {
		return nil
	}
	err := fmt.Errorf("the cluster's CA, Secret %s/%s, is gone, and its roots are in %s: no other CA is made, since no peer would trust it. Restore "+
		"the Secret from a backup; the present certificates are used until they expire. Without a backup, start over and link every peer again: "+
		"kubectl -n %s delete %s",
		r.cfg.Namespace, r.cfg.CASecret, strings.Join(records, " and "), r.cfg.Namespace, strings.Join(objects, " "))
	if r.cfg.Events != nil {
		r.cfg.Events.Event(&corev1.ConfigMap{ObjectMeta: r.meta(r.cfg.ConfigMap)}, corev1.EventTypeWarning, lostReason, err.Error())
	}
	return err
}

// leftBehind reports whether Kubernetes is about to remove what belonged to an installation that was removed.
func (r *Reconciler) leftBehind(o metav1.Object) bool {
	return o.GetDeletionTimestamp() != nil || len(o.GetOwnerReferences()) > 0 && !apply.OwnedBy(o, r.cfg.Owner)
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
