package kubecli

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestReadyProxies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "east", s)
	_, err := c.ReadyProxies(t.Context())
	is(t, err, ErrNotInstalled, "no pods of release eastway in namespace eastway-system of context east: install it "+
		"(helm install eastway charts/eastway -n eastway-system --create-namespace --wait --set cluster=NAME --kube-context east), or name")

	s.AddPod("elsewhere", "other-proxy-1", "other", "proxy", "n1")
	_, err = c.ReadyProxies(t.Context())
	is(t, err, ErrNotInstalled, "of context east: release other is in namespace elsewhere: name them")

	waiting := s.AddPod(DefaultNamespace, "eastway-proxy-1", "eastway", "proxy", "n1")
	waiting.Status.Conditions = nil
	waiting.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"},
	}}}
	s.Add(waiting)
	pending := s.AddPod(DefaultNamespace, "eastway-proxy-2", "eastway", "proxy", "")
	pending.Status.Phase = corev1.PodPending
	pending.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/2 nodes are\navailable",
	}}
	s.Add(pending)
	s.AddPod(DefaultNamespace, "eastway-controller-1", "eastway", "controller", "n1")
	_, err = c.ReadyProxies(t.Context())
	is(t, err, ErrNoProxy, "in namespace eastway-system: eastway-proxy-1 waits: ContainerCreating; eastway-proxy-2 0/2 nodes are available")

	s.AddPod(DefaultNamespace, "eastway-proxy-3", "eastway", "proxy", "n2")
	pods, err := c.ReadyProxies(t.Context())
	if err != nil || len(pods) != 1 || pods[0].Name != "eastway-proxy-3" {
		t.Errorf("%v, %v", pods, err)
	}
}

func TestTrouble(t *testing.T) {
	t.Parallel()
	ended := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "no SVID"},
	}}}}}
	for want, pod := range map[string]*corev1.Pod{
		"ended with code 1 no SVID": &ended,
		"is Running":                {Status: corev1.PodStatus{Phase: corev1.PodRunning}},
	} {
		if got := Problem(pod); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
