package kubecli

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What keeps a workload from making its pods is what Kubernetes says about it.
func TestWorkloadOf(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	meta := func(of Component) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: DefaultNamespace, Name: "eastway-" + string(of), Labels: c.labels(of), UID: "uid"}
	}
	deployment := func(conditions ...appsv1.DeploymentCondition) *appsv1.Deployment {
		two := int32(2)
		return &appsv1.Deployment{
			ObjectMeta: meta(Proxy), Spec: appsv1.DeploymentSpec{Replicas: &two},
			Status: appsv1.DeploymentStatus{UpdatedReplicas: 1, ReadyReplicas: 2, Conditions: conditions},
		}
	}
	quota := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "pods is forbidden:\n exceeded quota",
	}
	late := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Message: "timed out progressing"}
	daemons := &appsv1.DaemonSet{ObjectMeta: meta(Node), Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, CurrentNumberScheduled: 1}}
	event := func(name, reason, message string, age time.Duration) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: DefaultNamespace, Name: name}, InvolvedObject: corev1.ObjectReference{UID: daemons.UID},
			Reason: reason, Message: message, LastTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age)),
		}
	}
	for _, of := range []Component{Proxy, Node} {
		if got, err := WorkloadOf(t.Context(), c, of); got != nil || err != nil {
			t.Errorf("%s: %+v, %v", of, got, err)
		}
	}
	s.Add(daemons, event("old", "FailedCreate", "forbidden by an old webhook", time.Hour), event("new", "FailedCreate", "exceeded quota", 0),
		event("other", "SuccessfulDelete", "deleted", 0))
	for _, tt := range []struct {
		of   Component
		add  *appsv1.Deployment
		want Workload
	}{
		{Proxy, deployment(), Workload{"Deployment", "eastway-proxy", 2, 1, 2, ""}},
		{Proxy, deployment(late), Workload{"Deployment", "eastway-proxy", 2, 1, 2, "timed out progressing"}},
		{Proxy, deployment(late, quota), Workload{"Deployment", "eastway-proxy", 2, 1, 2, "pods is forbidden: exceeded quota"}},
		{Node, nil, Workload{"DaemonSet", "eastway-node", 3, 0, 0, "exceeded quota"}},
	} {
		if tt.add != nil {
			s.Add(tt.add)
		}
		if got, err := WorkloadOf(t.Context(), c, tt.of); err != nil || got == nil || *got != tt.want {
			t.Errorf("%+v, %v; want %+v", got, err, tt.want)
		}
	}
	s.Forbid("list", "daemonsets")
	_, err := WorkloadOf(t.Context(), c, Node)
	is(t, err, ErrForbidden, "find the node agents' DaemonSet")
}
