package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/entry/route"
)

// ClassReconciler writes the status of Eastway's GatewayClasses.
type ClassReconciler struct {
	Client client.Reader
	Writer *apply.Writer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Reconcile writes the status of one class if it differs.
func (r *ClassReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var c gatewayv1.GatewayClass
	switch err := r.Client.Get(ctx, req.NamespacedName, &c); {
	case apierrors.IsNotFound(err):
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("read GatewayClass %s: %w", req.Name, err)
	case c.Spec.ControllerName != route.ControllerName || !c.DeletionTimestamp.IsZero():
		return reconcile.Result{}, nil
	}
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	want := classStatus(&c, now())
	if is := meta.FindStatusCondition(c.Status.Conditions, want.Conditions[0].Type); is != nil &&
		equality.Semantic.DeepEqual(*is, want.Conditions[0]) && slices.Equal(c.Status.SupportedFeatures, want.SupportedFeatures) {
		return reconcile.Result{}, nil
	}
	out := &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: c.Name, UID: c.UID}, Status: want}
	return reconcile.Result{}, r.Writer.ApplyStatus(ctx, out)
}

// classStatus is what a class's status should say of what is ours: one condition, and the features.
func classStatus(c *gatewayv1.GatewayClass, now time.Time) gatewayv1.GatewayClassStatus {
	accepted := metav1.Condition{
		Type: string(gatewayv1.GatewayClassConditionStatusAccepted), Status: metav1.ConditionTrue,
		Reason: string(gatewayv1.GatewayClassReasonAccepted), Message: "Eastway's entries serve Gateways of this class.",
	}
	if c.Spec.ParametersRef != nil {
		accepted.Status, accepted.Reason = metav1.ConditionFalse, string(gatewayv1.GatewayClassReasonInvalidParameters)
		accepted.Message = "spec.parametersRef: not supported: remove it."
	}
	accepted.ObservedGeneration, accepted.LastTransitionTime = c.Generation, metav1.NewTime(now)
	conditions := slices.Clone(c.Status.Conditions)
	meta.SetStatusCondition(&conditions, accepted)
	return gatewayv1.GatewayClassStatus{
		Conditions:        []metav1.Condition{*meta.FindStatusCondition(conditions, accepted.Type)},
		SupportedFeatures: supported(),
	}
}
