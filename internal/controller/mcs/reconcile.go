package mcs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/controller/apply"
)

// Config of a Reconciler. All but Owner, Events, Now and Log is required.
type Config struct {
	// Cluster is the own name.
	Cluster string
	// Namespace is the installation's, where derived Services are.
	Namespace string
	// ProxiesService is the Service there that selects the proxies' pods.
	ProxiesService string
	// Client reads from caches that Setup has given indexes.
	Client client.Client
	Writer *apply.Writer
	// Catalog has what peers export.
	Catalog *discovery.Catalog
	Ports   *Ports
	// Owner of everything that is made, so that it goes with the installation; it must be cluster-scoped.
	Owner *metav1.OwnerReference
	// Events takes what a user should know of a Service, which has no conditions of its own here; nil means none.
	Events record.EventRecorder
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log may be nil.
	Log *zap.Logger
}

// Validate names the first field that is missing.
func (c *Config) Validate() error {
	for field, missing := range map[string]bool{
		"Cluster": c.Cluster == "", "Namespace": c.Namespace == "", "ProxiesService": c.ProxiesService == "",
		"Client": c.Client == nil, "Writer": c.Writer == nil, "Catalog": c.Catalog == nil, "Ports": c.Ports == nil,
	} {
		if missing {
			return fmt.Errorf("mcs: Config.%s is required", field)
		}
	}
	return nil
}

// Reconciler brings the objects of one service at a time into line.
type Reconciler struct {
	cfg Config
	log *zap.Logger
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
	return &Reconciler{cfg: cfg, log: cfg.Log}, nil
}

// Reconcile looks at everything that is known of one service and writes what differs. The order matters: addresses lead somewhere
// before they are published, and are withdrawn before they lead nowhere.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	err := r.reconcile(ctx, serviceName(req.NamespacedName))
	if errors.Is(ctx.Err(), context.Canceled) {
		return reconcile.Result{}, nil // the process ends: an error for each service would not help
	}
	return reconcile.Result{}, err
}

func (r *Reconciler) reconcile(ctx context.Context, name discovery.ServiceName) error {
	s, err := r.load(ctx, name)
	if err != nil {
		return err
	}
	p := makePlan(r.cfg.Cluster, s, r.cfg.Now())
	derived, err := r.derive(ctx, p.derived, s.derived)
	if err == nil && p.imported {
		err = r.writeImport(ctx, s, &p, derived)
	}
	if err == nil {
		// What is published leads somewhere; what leads nowhere any more may go.
		err = r.withdraw(ctx, s, &p, derived)
	}
	if s.external != nil && s.namespace {
		// Also when something failed: the user sees why.
		status := externalStatus(s.external, &p, derivedExternal(s, &p, derived), err, r.cfg.Now())
		err = errors.Join(err, writeExternal(ctx, r.cfg.Writer, s.external, status))
	}
	if p.takeoverProblem != "" && r.cfg.Events != nil {
		r.cfg.Events.Event(s.service, corev1.EventTypeWarning, "TakeoverRefused", p.takeoverProblem)
	}
	if s.export != nil {
		// Also when something failed: the user sees why.
		err = errors.Join(err, writeConditions(ctx, r.cfg.Writer, s.export, &p, err, r.cfg.Now()))
	}
	return err
}

// writeImport writes the import, its slices and its status.
func (r *Reconciler) writeImport(ctx context.Context, s *state, p *plan, derived map[string]*corev1.Service) error {
	want := desiredImport(s.name, &p.resolved, derived[importService(s.name)])
	if p.resolved.Spec.Headless {
		want.Spec.IPFamilies = headlessFamilies(s, p, derived)
	}
	recordHeard(want, p.heard)
	r.own(want)
	is := s.serviceImport
	if is == nil || !sameImport(is, want) {
		if err := r.cfg.Writer.Apply(ctx, want); err != nil {
			return err
		}
		is = want
	}
	if err := r.writeSlices(ctx, s, p, is, derived); err != nil {
		return err
	}
	if status := importStatus(is, &p.resolved, r.cfg.Now()); !equal(is.Status, status) {
		is = is.DeepCopy()
		is.Status = status
		return r.cfg.Writer.ApplyStatus(ctx, is)
	}
	return nil
}

func (r *Reconciler) writeSlices(
	ctx context.Context, s *state, p *plan, owner *mcsv1beta1.ServiceImport, derived map[string]*corev1.Service,
) error {
	want, err := r.desiredSlices(s, p, derived)
	if err != nil {
		return fmt.Errorf("remember what peers export of %s: %w", s.name, err)
	}
	there := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range s.slices {
		there[slice.Name] = slice
	}
	for _, w := range want {
		w.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: mcsv1beta1.GroupVersion.String(), Kind: mcsv1beta1.ServiceImportKindName, Name: owner.Name, UID: owner.UID,
		}}
		is := there[w.Name]
		delete(there, w.Name)
		if is != nil && sameSlice(is, w) {
			continue
		}
		if err := r.cfg.Writer.Apply(ctx, w); err != nil {
			return err
		}
	}
	for _, slice := range there {
		if err := r.cfg.Writer.Delete(ctx, slice); err != nil {
			return err
		}
	}
	return nil
}

// withdraw removes what is no longer wanted: first what is published, then what it led to.
func (r *Reconciler) withdraw(ctx context.Context, s *state, p *plan, wanted map[string]*corev1.Service) error {
	if !p.imported {
		if s.serviceImport != nil && !p.foreign {
			if err := r.cfg.Writer.Delete(ctx, s.serviceImport); err != nil {
				return err
			}
		}
		for _, slice := range s.slices {
			if err := r.cfg.Writer.Delete(ctx, slice); err != nil {
				return err
			}
		}
	}
	for name, service := range s.derived {
		if wanted[name] != nil {
			continue
		}
		if err := r.cfg.Writer.Delete(ctx, service); err != nil {
			return err
		}
		r.cfg.Ports.release(name, nil)
	}
	return nil
}

func writeConditions(ctx context.Context, w *apply.Writer, export *mcsv1beta1.ServiceExport, p *plan, failed error, now time.Time) error {
	conditions := exportConditions(export, p, now)
	if failed != nil && lasting(failed) {
		setFailed(&conditions, export, failed, now)
	}
	if equal(export.Status.Conditions, conditions) {
		return nil
	}
	export = export.DeepCopy()
	export.Status.Conditions = conditions
	return w.ApplyStatus(ctx, export)
}

// lasting is true for errors that need a repair, and false for an API server that is busy or away.
func lasting(err error) bool {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return true
	}
	var fromServer apierrors.APIStatus
	var network net.Error
	return !errors.As(err, &fromServer) && !errors.As(err, &network) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// own makes the installation the owner.
func (r *Reconciler) own(o client.Object) {
	if r.cfg.Owner != nil {
		o.SetOwnerReferences([]metav1.OwnerReference{*r.cfg.Owner})
	}
}
