package kubecli

import (
	"cmp"
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Workload makes the pods of a component.
type Workload struct {
	// Kind is Deployment or DaemonSet.
	Kind, Name string
	// Wanted pods, those that are of the present template, and those that are ready.
	Wanted, Updated, Ready int32
	// Problem is what keeps it from making pods, as Kubernetes says it; "" if nothing does.
	Problem string
}

// String is how kubectl takes it.
func (w *Workload) String() string { return w.Kind + " " + w.Name }

// WorkloadOf is the one of a component; nil if the installation has none.
func WorkloadOf(ctx context.Context, c *Cluster, of Component) (*Workload, error) {
	if of == Node {
		return daemonSetOf(ctx, c, of)
	}
	var list appsv1.DeploymentList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(of)); err != nil {
		return nil, c.explain("find the Deployment of the "+string(of), err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	d := &list.Items[0]
	w := &Workload{Kind: "Deployment", Name: d.Name, Wanted: 1, Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas}
	if d.Spec.Replicas != nil {
		w.Wanted = *d.Spec.Replicas
	}
	stuck := ""
	for _, condition := range d.Status.Conditions {
		switch {
		case condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue:
			w.Problem = oneLine(condition.Message)
		case condition.Type == appsv1.DeploymentProgressing && condition.Status == corev1.ConditionFalse:
			stuck = oneLine(condition.Message)
		}
	}
	w.Problem = cmp.Or(w.Problem, stuck)
	return w, nil
}

func daemonSetOf(ctx context.Context, c *Cluster, of Component) (*Workload, error) {
	var list appsv1.DaemonSetList
	if err := c.client.List(ctx, &list, client.InNamespace(c.Namespace), c.labels(of)); err != nil {
		return nil, c.explain("find the node agents' DaemonSet", err)
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	d := &list.Items[0]
	w := &Workload{
		Kind: "DaemonSet", Name: d.Name, Wanted: d.Status.DesiredNumberScheduled, Updated: d.Status.UpdatedNumberScheduled,
		Ready: d.Status.NumberReady,
	}
	if d.Status.CurrentNumberScheduled < w.Wanted { // it has no condition for that, but events
		w.Problem = failedToCreate(ctx, c, d)
	}
	return w, nil
}

// failedToCreate is what the last event says about pods that an object could not make; "" if there is none, or it may not be read.
func failedToCreate(ctx context.Context, c *Cluster, object client.Object) string {
	var list corev1.EventList
	if c.client.List(ctx, &list, client.InNamespace(object.GetNamespace())) != nil {
		return ""
	}
	list.Items = slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
		return e.Reason != "FailedCreate" || e.InvolvedObject.UID != object.GetUID()
	})
	if len(list.Items) == 0 {
		return ""
	}
	last := slices.MaxFunc(list.Items, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
	return oneLine(last.Message)
}
