package identity

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/pace"
	"github.com/eastway/eastway/internal/peering"
)

const managedByLabel = "app.kubernetes.io/managed-by"

// Reconciler keeps the Secrets and the ConfigMap. It has one request, whatever its name.
type Reconciler struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics

	nodeProblem string // the last one logged
}

// New returns a Reconciler; Setup connects it to what it watches.
func New(cfg Config) (*Reconciler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Reconciler{cfg: cfg, log: cfg.Log, metrics: m}, nil
}

// Reconcile checks everything, and runs again when a certificate is due.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	svid, bundle, ca, err := r.certificate(ctx)
	if svid != nil {
		r.cfg.Holder.set(svid, bundle)
		r.metrics.svidExpiry.Set(float64(svid.Certificates[0].NotAfter.Unix()))
		err = errors.Join(err, r.publish(ctx, svid, bundle))
	}
	next, nodeErr := r.nodeCertificate(ctx, ca)
	err = errors.Join(err, nodeErr)
	if r.cfg.Report != nil {
		r.cfg.Report(err)
	}
	if err != nil {
		r.metrics.ok.Set(0)
		return reconcile.Result{}, err
	}
	r.metrics.ok.Set(1)
	if due := renewal(svid); next.IsZero() || due.Before(next) {
		next = due
	}
	return reconcile.Result{RequeueAfter: min(pollEvery, max(retryMin, next.Sub(r.cfg.Now())))}, nil
}

// certificate is the one to use, and the CA if that is Eastway's. It may be present even with an error.
func (r *Reconciler) certificate(ctx context.Context) (*x509svid.SVID, *x509bundle.Bundle, *certs.CA, error) {
	s, err := r.secret(ctx, r.cfg.SVIDSecret)
	if err != nil {
		return nil, nil, nil, err
	}
	var svid *x509svid.SVID
	var bundle *x509bundle.Bundle
	problem := errors.New("there is none")
	if s != nil {
		svid, bundle, problem = certs.ParseSVID(r.cfg.Cluster, certs.SecretOf(s.Data))
		if s.Labels[managedByLabel] != v1alpha1.ManagedByName {
			return svid, bundle, nil, r.foreign(svid, bundle, problem)
		}
	}
	ca, err := r.authority(ctx, s)
	if err != nil {
		return svid, bundle, nil, err
	}
	r.metrics.caExpiry.Set(float64(ca.Certificate().NotAfter.Unix()))
	if why := r.replaceable(s, ca, svid, bundle, problem); why != "" {
		svid, bundle, err = r.issue(ctx, ca, why)
	}
	return svid, bundle, ca, err
}

// replaceable returns why the certificate in a Secret of Eastway's has to be replaced; "" if it need not be.
func (r *Reconciler) replaceable(s *corev1.Secret, ca *certs.CA, svid *x509svid.SVID, bundle *x509bundle.Bundle, problem error) string {
	why := r.due(ca, svid, bundle, problem)
	if why == "" && !apply.OwnedBy(s, r.cfg.Owner) {
		why = "it did not belong to this installation"
	}
	return why
}

// foreign judges a certificate that Eastway does not manage.
func (r *Reconciler) foreign(svid *x509svid.SVID, bundle *x509bundle.Bundle, problem error) error {
	r.metrics.caExpiry.Set(0)
	name := r.cfg.Namespace + "/" + r.cfg.SVIDSecret
	if problem != nil {
		return fmt.Errorf("the certificate in Secret %s cannot be used; Eastway did not write it and leaves it alone. "+
			"Repair it where it is made, or have Eastway issue one, for which every peer has to be linked again: kubectl -n %s delete secret/%s "+
			"configmap/%s: %w", name, r.cfg.Namespace, r.cfg.SVIDSecret, r.cfg.ConfigMap, problem)
	}
	if end := svid.Certificates[0].NotAfter; !r.cfg.Now().Before(end) {
		return fmt.Errorf("the certificate in Secret %s expired at %s and was not renewed", name, end.Format(time.RFC3339))
	}
	if err := certs.CheckOwn(svid, bundle); err != nil {
		return fmt.Errorf("the certificate in Secret %s, which Eastway did not write: %w", name, err)
	}
	return nil
}

// due returns why a certificate has to be issued; "" if it need not be.
func (r *Reconciler) due(ca *certs.CA, svid *x509svid.SVID, bundle *x509bundle.Bundle, problem error) string {
	switch {
	case problem != nil:
		return problem.Error()
	case ca.Check(svid) != nil:
		return ca.Check(svid).Error()
	case !bundle.Equal(ca.Bundle()):
		return "the trust bundle changed"
	case !r.cfg.Now().Before(renewal(svid)):
		return "half of its life is over"
	case r.cfg.Now().Before(svid.Certificates[0].NotBefore):
		return "the clock was set back"
	}
	return ""
}

// renewal is when a certificate is renewed: the same time in each replica, and a different one in each cluster.
func renewal(svid *x509svid.SVID) time.Time {
	c := svid.Certificates[0]
	var serial [8]byte
	copy(serial[:], c.SerialNumber.Bytes())
	chance := float64(binary.BigEndian.Uint64(serial[:])) / (1 << 64)
	life := c.NotAfter.Sub(c.NotBefore)
	return c.NotBefore.Add(pace.Spread(life, renewAt-renewJitter, renewAt+renewJitter, chance))
}

func (r *Reconciler) issue(ctx context.Context, ca *certs.CA, why string) (*x509svid.SVID, *x509bundle.Bundle, error) {
	svid, err := ca.Issue(r.cfg.Cluster, r.cfg.TTL)
	if err != nil {
		return nil, nil, fmt.Errorf("issue the proxies' certificate from the CA in Secret %s/%s: %w", r.cfg.Namespace, r.cfg.CASecret, err)
	}
	if err := r.write(ctx, r.cfg.SVIDSecret, svid, ca.Bundle(), why); err != nil {
		return nil, nil, err
	}
	return svid, ca.Bundle(), nil
}

func (r *Reconciler) write(ctx context.Context, secret string, svid *x509svid.SVID, bundle *x509bundle.Bundle, why string) error {
	content, err := certs.EncodeSVID(svid, bundle)
	if err != nil {
		return err
	}
	if err := r.cfg.Writer.Apply(ctx, r.newSecret(secret, content)); err != nil {
		return err
	}
	r.metrics.renewals.Inc()
	r.log.Info("certificate issued", zap.String("secret", secret), zap.String("spiffe_id", svid.ID.String()),
		zap.String("because", why), zap.Time("expires", svid.Certificates[0].NotAfter), zap.Time("next_renewal", renewal(svid)))
	return nil
}

func (r *Reconciler) newSecret(name string, content certs.Secret) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: r.meta(name), Type: corev1.SecretTypeOpaque, Data: content.Data()}
}

func (r *Reconciler) meta(name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: r.cfg.Namespace, Name: name, Labels: map[string]string{managedByLabel: v1alpha1.ManagedByName},
	}
	if r.cfg.Owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*r.cfg.Owner}
	}
	return m
}

// publish writes the Peer manifest that other clusters import.
func (r *Reconciler) publish(ctx context.Context, svid *x509svid.SVID, bundle *x509bundle.Bundle) error {
	var nodes corev1.NodeList
	if err := r.cfg.Client.List(ctx, &nodes); err != nil {
		return fmt.Errorf("list Nodes: %w", err)
	}
	addresses, from, err := r.addresses(ctx, nodes.Items)
	if err != nil {
		return err
	}
	roots, err := certs.MarshalBundle(bundle, certs.PEM)
	if err != nil {
		return err
	}
	peer := &v1alpha1.Peer{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: "Peer"},
		ObjectMeta: metav1.ObjectMeta{Name: r.cfg.Cluster},
		Spec: v1alpha1.PeerSpec{
			SPIFFEID: svid.ID.String(), TrustBundle: string(roots), Addresses: addresses, Localities: regions(nodes.Items),
		},
	}
	if err := v1alpha1.ValidatePeer(peer).ToAggregate(); err != nil {
		return fmt.Errorf("this cluster's own Peer manifest would not be valid: %w", err)
	}
	manifest, err := yaml.Marshal(peer)
	if err != nil {
		return fmt.Errorf("encode this cluster's Peer manifest: %w", err)
	}
	want := &corev1.ConfigMap{
		ObjectMeta: r.meta(r.cfg.ConfigMap),
		Data:       map[string]string{peering.PeerKey: string(manifest), peering.ClusterKey: r.cfg.Cluster, peering.FromKey: from},
	}
	is := &corev1.ConfigMap{}
	err = r.cfg.Direct.Get(ctx, client.ObjectKeyFromObject(want), is)
	if err == nil && maps.Equal(is.Data, want.Data) && apply.OwnedBy(is, r.cfg.Owner) || err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err := r.cfg.Writer.Apply(ctx, want); err != nil {
		return err
	}
	r.log.Info("this cluster's Peer manifest changed", zap.Strings("addresses", addresses), zap.String("from", from))
	return nil
}

// addresses are the public ones of the moment.
func (r *Reconciler) addresses(ctx context.Context, nodes []corev1.Node) ([]string, string, error) {
	if len(r.cfg.PublicAddresses) > 0 {
		return r.cfg.PublicAddresses, peering.FromFlags, nil
	}
	var services []*corev1.Service
	for _, name := range r.cfg.TunnelServices {
		s := &corev1.Service{}
		switch err := r.cfg.Client.Get(ctx, client.ObjectKey{Namespace: r.cfg.Namespace, Name: name}, s); {
		case err == nil:
			services = append(services, s)
		case !apierrors.IsNotFound(err):
			return nil, "", fmt.Errorf("read Service %s/%s: %w", r.cfg.Namespace, name, err)
		}
	}
	addresses, from := publicAddresses(services, nodes)
	return addresses, from, nil
}
