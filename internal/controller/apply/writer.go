package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Field managers of what the controller writes. Statuses have their own, so that applying them removes nothing else, even on API
// servers that do not distinguish subresources.
const (
	FieldOwner  = client.FieldOwner("eastway-controller")
	StatusOwner = client.FieldOwner("eastway-controller-status")
)

// What was done, as the metric names it.
const (
	verbApply  = "apply"
	verbStatus = "apply_status"
	verbCreate = "create"
	verbDelete = "delete"
)

// Writer writes objects of the types in its client's scheme.
type Writer struct {
	client client.Client
	writes *prometheus.CounterVec
}

// NewWriter registers its metric on reg unless that is nil.
func NewWriter(c client.Client, reg prometheus.Registerer) (*Writer, error) {
	w := &Writer{client: c, writes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "eastway_controller_writes_total",
		Help: "Writes to the Kubernetes API by kind of object, verb and outcome.",
	}, []string{"kind", "verb", "outcome"})}
	if reg != nil {
		if err := reg.Register(w.writes); err != nil {
			return nil, fmt.Errorf("apply: register metrics: %w", err)
		}
	}
	return w, nil
}

// Apply applies o without its status, and updates o from the response. Fields that an earlier Apply set and o lacks are removed.
func (w *Writer) Apply(ctx context.Context, o client.Object) error {
	u, err := w.configuration(o)
	if err != nil {
		return err
	}
	delete(u.Object, "status")
	err = w.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), FieldOwner, client.ForceOwnership)
	if err := w.done(u, verbApply, err); err != nil {
		return err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, o); err != nil {
		return fmt.Errorf("read the response to applying %s: %w", describe(u), err)
	}
	return nil
}

// ApplyStatus applies the status of o.
func (w *Writer) ApplyStatus(ctx context.Context, o client.Object) error {
	uid := o.GetUID() // the configuration of an unstructured object is the object
	full, err := w.configuration(o)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": full.Object["status"]}}
	u.SetGroupVersionKind(full.GroupVersionKind())
	u.SetNamespace(o.GetNamespace())
	u.SetName(o.GetName())
	if uid != "" {
		u.SetUID(uid) // an object of that name that was recreated meanwhile is another one
	}
	err = w.client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), StatusOwner, client.ForceOwnership)
	return w.done(u, verbStatus, err)
}

// Create makes an object that must not be there yet.
func (w *Writer) Create(ctx context.Context, o client.Object) error {
	u, err := w.configuration(o)
	if err != nil {
		return err
	}
	return w.done(u, verbCreate, w.client.Create(ctx, o, FieldOwner))
}

// Delete removes exactly this object; one that is gone already is no error.
func (w *Writer) Delete(ctx context.Context, o client.Object) error {
	u, err := w.configuration(o)
	if err != nil {
		return err
	}
	var opts []client.DeleteOption
	if uid := o.GetUID(); uid != "" {
		opts = append(opts, client.Preconditions{UID: &uid})
	}
	err = w.client.Delete(ctx, o, opts...)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		err = nil // gone, or replaced meanwhile
	}
	return w.done(u, verbDelete, err)
}

// done counts the write and adds what was attempted to the error.
func (w *Writer) done(u *unstructured.Unstructured, verb string, err error) error {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	w.writes.WithLabelValues(u.GetKind(), verb, outcome).Inc()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s %s: %w", verb, describe(u), err)
	if apierrors.IsForbidden(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("%w: the controller's role is too small; install the chart's ClusterRole and Role", err)
	}
	return err
}

func describe(u *unstructured.Unstructured) string {
	if u.GetNamespace() == "" {
		return u.GetKind() + " " + u.GetName()
	}
	return u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
}

// configuration is o without what only the API server sets.
func (w *Writer) configuration(o client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(o, w.client.Scheme())
	if err != nil {
		return nil, fmt.Errorf("apply: %T is not in the scheme: %w", o, err)
	}
	if o.GetName() == "" {
		return nil, errors.New("apply: " + gvk.Kind + " without a name")
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("apply: encode %s %s: %w", gvk.Kind, o.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation", "deletionTimestamp"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	return u, nil
}

// OwnedBy reports whether o has that owner; always true for nil.
func OwnedBy(o metav1.Object, owner *metav1.OwnerReference) bool {
	return owner == nil || slices.ContainsFunc(o.GetOwnerReferences(), func(has metav1.OwnerReference) bool { return has.UID == owner.UID })
}
