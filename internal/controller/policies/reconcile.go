package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
)

// Backoff after an error.
const (
	retryMin = 200 * time.Millisecond
	retryMax = time.Minute
)

// maxMessage bounds the text of a condition, in bytes.
const maxMessage = 1024

// Reconciler judges the policies of one namespace at a time: they may be in each other's way.
type Reconciler struct {
	Client client.Reader
	Writer *apply.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Reconcile judges all policies of the namespace that the request names.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.TrafficPolicyList
	if err := r.Client.List(ctx, &list, client.InNamespace(req.Name)); err != nil {
		return reconcile.Result{}, fmt.Errorf("list the TrafficPolicies in %s: %w", req.Name, err)
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, r.judge(ctx, &list.Items[i], list.Items))
	}
	return reconcile.Result{}, errors.Join(errs...)
}

func (r *Reconciler) judge(ctx context.Context, p *v1alpha1.TrafficPolicy, all []v1alpha1.TrafficPolicy) error {
	c, err := r.verdict(ctx, p, all)
	if err != nil {
		return err
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	c.Type, c.ObservedGeneration, c.LastTransitionTime = v1alpha1.PolicyAccepted, p.Generation, metav1.NewTime(now())
	want := *p.Status.DeepCopy()
	want.ObservedGeneration = p.Generation
	meta.SetStatusCondition(&want.Conditions, c)
	if equality.Semantic.DeepEqual(p.Status, want) {
		return nil
	}
	p = p.DeepCopy()
	p.Status = want
	return r.Writer.ApplyStatus(ctx, p)
}

func (r *Reconciler) verdict(ctx context.Context, p *v1alpha1.TrafficPolicy, all []v1alpha1.TrafficPolicy) (metav1.Condition, error) {
	if errs := v1alpha1.ValidateTrafficPolicy(p); len(errs) > 0 {
		return no(v1alpha1.ReasonInvalid, errs.ToAggregate().Error()), nil
	}
	if p.Spec.TargetRef.OfEntry() {
		return yes("The policy is in use where an entry serves its target."), nil
	}
	return r.ofService(ctx, p, all)
}

// ofService judges a valid policy for a service, or a default.
func (r *Reconciler) ofService(ctx context.Context, p *v1alpha1.TrafficPolicy, all []v1alpha1.TrafficPolicy) (metav1.Condition, error) {
	target := client.ObjectKey{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}
	here, err := r.find(ctx, target)
	if err != nil {
		return metav1.Condition{}, err
	}
	switch ref := p.Spec.TargetRef; {
	case ref.Fits(here.service, here.external):
	case here.service:
		return no(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("spec.targetRef.kind: Service %s has this name, and the policy is for an "+
			"ExternalService; set targetRef to {kind: Service, name: %s} if it is for that.", target.Name, target.Name)), nil
	case here.external:
		return no(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("spec.targetRef.kind: ExternalService %s has this name, and the policy is for a "+
			"Service; set targetRef to {group: eastway.dev, kind: ExternalService, name: %s} if it is for that.", target.Name, target.Name)), nil
	default:
		return no(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("spec.targetRef.name: there is no ExternalService %s in namespace %s; the policy "+
			"applies once there is.", target.Name, target.Namespace)), nil
	}
	if o := here.inUse(p, all); o != nil {
		subject := "Service " + target.Name
		if p.Spec.TargetRef.IsZero() {
			subject = "namespace " + target.Namespace
		}
		return no(v1alpha1.ReasonConflicted, fmt.Sprintf(
			"spec.targetRef: %s already has TrafficPolicy %s, which is older; remove one of the two.", subject, o.Name)), nil
	}
	if p.Spec.TargetRef.IsZero() {
		return yes("The policy is in use for services that have none of their own."), nil
	}
	if !here.imported && (p.Spec.TargetRef.Kind == v1alpha1.KindImport || !here.service && !here.external) {
		return no(v1alpha1.ReasonTargetNotFound, fmt.Sprintf("spec.targetRef.name: there is no Service %s in namespace %s, and no peer exports "+
			"one; the policy applies once there is.", target.Name, target.Namespace)), nil
	}
	return yes("The policy is in use."), nil
}

// found is what has a name.
type found struct{ service, external, imported bool }

func (r *Reconciler) find(ctx context.Context, target client.ObjectKey) (found, error) {
	var out found
	if target.Name == "" {
		return out, nil
	}
	for _, one := range []struct {
		object client.Object
		here   *bool
	}{{&corev1.Service{}, &out.service}, {&v1alpha1.ExternalService{}, &out.external}, {&mcsv1beta1.ServiceImport{}, &out.imported}} {
		err := r.Client.Get(ctx, target, one.object)
		if err != nil && !apierrors.IsNotFound(err) {
			return out, fmt.Errorf("read %T %s: %w", one.object, target, err)
		}
		*one.here = err == nil
	}
	return out, nil
}

func no(reason, message string) metav1.Condition {
	if len(message) > maxMessage {
		message = message[:maxMessage] // a validation error: it clips values itself, and is ASCII but for them
	}
	return metav1.Condition{Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func yes(message string) metav1.Condition {
	return metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: message}
}

// inUse is a valid policy with the same target that comes before p; nil if there is none.
func (f found) inUse(p *v1alpha1.TrafficPolicy, all []v1alpha1.TrafficPolicy) *v1alpha1.TrafficPolicy {
	for i := range all {
		o := &all[i]
		rival := o.Spec.TargetRef.Name == p.Spec.TargetRef.Name && o.Spec.TargetRef.Fits(f.service, f.external)
		if rival && older(o, p) && len(v1alpha1.ValidateTrafficPolicy(o)) == 0 {
			return o
		}
	}
	return nil
}

// older decides as the proxies do: by age, then by name.
func older(a, b *v1alpha1.TrafficPolicy) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// Setup makes the manager run the Reconciler while this process leads.
func (r *Reconciler) Setup(m manager.Manager) error {
	namespace := func(_ context.Context, o client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: o.GetNamespace()}}}
	}
	ifAny := func(ctx context.Context, o client.Object) []reconcile.Request {
		var list v1alpha1.TrafficPolicyList
		if err := r.Client.List(ctx, &list, client.InNamespace(o.GetNamespace()), client.Limit(1)); err != nil || len(list.Items) == 0 {
			return nil
		}
		return namespace(ctx, o)
	}
	existence := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	err := builder.ControllerManagedBy(m).Named("policies").
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		Watches(&v1alpha1.TrafficPolicy{}, handler.EnqueueRequestsFromMapFunc(namespace)).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(ifAny), builder.WithPredicates(existence)).
		Watches(&mcsv1beta1.ServiceImport{}, handler.EnqueueRequestsFromMapFunc(ifAny), builder.WithPredicates(existence)).
		Watches(&v1alpha1.ExternalService{}, handler.EnqueueRequestsFromMapFunc(ifAny), builder.WithPredicates(existence)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("policies: set up: %w", err)
	}
	return nil
}
