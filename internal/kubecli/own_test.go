package kubecli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
)

// A cluster in which Eastway is being installed is waited for, and said to be; one without is not.
func TestAwaitOwn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "a", s)
	var told []string
	tell := func(what string) { told = append(told, what) }
	over := time.Now()
	never := over.Add(time.Hour)
	_, err := c.AwaitOwn(t.Context(), never, tell)
	is(t, err, ErrNotInstalled, "there is no ConfigMap eastway-cluster")

	deployment := &appsv1.Deployment{}
	deployment.Namespace, deployment.Name, deployment.Labels = DefaultNamespace, "eastway-controller", c.labels(Controller)
	deployment.Labels[instanceLabel] = "another"
	s.Add(deployment)
	_, err = c.AwaitOwn(t.Context(), never, tell)
	is(t, err, ErrNotInstalled, "there is no ConfigMap eastway-cluster")
	deployment.Labels[instanceLabel] = c.Release
	s.Add(deployment)
	_, err = c.AwaitOwn(t.Context(), over, tell)
	if err == nil || !strings.Contains(err.Error(), "Peer manifest in time: it has no pods: see 'eastway check'") {
		t.Errorf("no pods: %v", err)
	}
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending}}
	pod.Namespace, pod.Name, pod.Labels = DefaultNamespace, "eastway-controller-1", deployment.Labels
	s.Add(pod)
	_, err = c.AwaitOwn(t.Context(), over, tell)
	if err == nil || !strings.Contains(err.Error(), "in time: eastway-controller-1 is Pending: see") {
		t.Errorf("a pod that waits: %v", err)
	}
	if told != nil {
		t.Errorf("it did not wait, and told %q", told)
	}

	ctx, stop := context.WithCancel(t.Context())
	_, err = c.AwaitOwn(ctx, never, func(string) { stop() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	m, err := c.AwaitOwn(t.Context(), never, func(what string) {
		tell(what)
		s.Install(DefaultNamespace, DefaultRelease, kubetest.Manifest(t, "a"))
	})
	if err != nil || m.Peer.Name != "a" {
		t.Errorf("%+v, %v", m.Peer, err)
	}
	want := []string{"context a: waiting for the controller of release eastway in namespace eastway-system, " +
		"which makes the cluster's own Peer manifest on its first start"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// TestAwaitOwnAfterTheAddressChanged: the tunnel Service was made anew, and the controller has not published its address yet.
func TestAwaitOwnAfterTheAddressChanged(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := open(t, "a", s)
	s.Install(DefaultNamespace, DefaultRelease, kubetest.Manifest(t, "a", "203.0.113.1:15443"))
	for _, row := range []struct {
		ingress corev1.LoadBalancerIngress
		want    string
	}{
		{corev1.LoadBalancerIngress{IP: "203.0.113.2"}, "203.0.113.2:15443"},
		{corev1.LoadBalancerIngress{Hostname: "lb.example.com."}, "lb.example.com:15443"},
		{corev1.LoadBalancerIngress{IP: "203.0.113.1"}, "203.0.113.1:15443"},
		{corev1.LoadBalancerIngress{}, "203.0.113.1:15443"},
	} {
		both := []corev1.ServicePort{{Port: 15443}, {Port: 15443}} // TCP and UDP
		service := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: both}}
		service.Namespace, service.Name, service.Labels = DefaultNamespace, "eastway-tunnel", c.labels(Proxy)
		service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{row.ingress}
		s.Add(service)
		m, err := c.AwaitOwn(t.Context(), time.Now().Add(time.Hour), func(what string) { t.Errorf("waits: %s", what) })
		if err != nil || !slices.Equal(m.Peer.Spec.Addresses, []string{row.want}) {
			t.Errorf("%+v: %v, %v", row.ingress, m.Peer.Spec.Addresses, err)
		}
	}
}

// Who may not see Deployments is told what is missing.
func TestAwaitOwnBlindly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Forbid("list", "deployments")
	_, err := open(t, "a", s).AwaitOwn(t.Context(), time.Now().Add(time.Hour), func(what string) { t.Errorf("told %q", what) })
	is(t, err, ErrNotInstalled, "there is no ConfigMap eastway-cluster")
}

// A cluster whose load balancer has no address yet is waited for; then it is linked without.
func TestAwaitOwnAddress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Install(DefaultNamespace, DefaultRelease, kubetest.Manifest(t, "a"))
	c := open(t, "a", s)
	over := time.Now()
	never := over.Add(time.Hour)
	service := &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort}}
	service.Namespace, service.Name, service.Labels = DefaultNamespace, "eastway-tunnel", c.labels(Proxy)
	s.Add(service)
	if _, err := c.AwaitOwn(t.Context(), never, func(what string) { t.Errorf("told %q", what) }); err != nil {
		t.Errorf("without a load balancer: %v", err)
	}
	service.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Add(service)
	if m, err := c.AwaitOwn(t.Context(), over, nil); err != nil || m.Peer.Name != "a" {
		t.Errorf("in the end: %+v, %v", m.Peer, err)
	}
	var told []string
	m, err := c.AwaitOwn(t.Context(), never, func(what string) {
		told = append(told, what)
		s.Install(DefaultNamespace, DefaultRelease, kubetest.Manifest(t, "a", "203.0.113.7:15443"))
	})
	if err != nil || len(m.Peer.Spec.Addresses) != 1 {
		t.Errorf("%+v, %v", m.Peer.Spec, err)
	}
	want := []string{"context a: waiting for the address of the load balancer of Service eastway-tunnel"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// A CA that was replaced a moment ago is waited for, until the controller has published its roots.
func TestAwaitOwnRoots(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	old, replaced := kubetest.NewCA(t, "a"), kubetest.NewCA(t, "a")
	s.Install(DefaultNamespace, DefaultRelease, kubetest.ManifestOf(t, old, "a", "a.example.com:1"))
	c := open(t, "a", s)
	over := time.Now()
	never := over.Add(time.Hour)
	silent := func(what string) { t.Errorf("told %q", what) }
	for name, ca := range map[string]*certs.CA{"none": nil, "published": old} {
		if ca != nil {
			s.AddCA(DefaultNamespace, DefaultRelease, ca)
		}
		if _, err := c.AwaitOwn(t.Context(), never, silent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.AddCA(DefaultNamespace, DefaultRelease, replaced)
	var told []string
	m, err := c.AwaitOwn(t.Context(), over, func(what string) { told = append(told, what) })
	if err != nil || !m.Identity.Bundle.Equal(old.Bundle()) {
		t.Errorf("in the end: %v", err)
	}
	m, err = c.AwaitOwn(t.Context(), never, func(what string) {
		told = append(told, what)
		s.Install(DefaultNamespace, DefaultRelease, kubetest.ManifestOf(t, replaced, "a", "a.example.com:1"))
	})
	if err != nil || !m.Identity.Bundle.Equal(replaced.Bundle()) {
		t.Errorf("%+v, %v", m.Peer.Spec, err)
	}
	stale := "Secret eastway-ca has other roots than the manifest, which follows within half a minute"
	want := []string{
		"context a: peers get the manifest as it is: " + stale,
		"context a: waiting for the controller to publish another manifest: " + stale,
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	// A certificate of another CA has other roots.
	s.AddCA(DefaultNamespace, DefaultRelease, old)
	foreign := &corev1.Secret{}
	foreign.Namespace, foreign.Name = DefaultNamespace, "eastway-svid"
	s.Add(foreign)
	if _, err := c.AwaitOwn(t.Context(), never, silent); err != nil {
		t.Error(err)
	}
	// Who may not read the Secret is not kept.
	s.Remove("/v1/secrets", DefaultNamespace, "eastway-svid")
	s.Forbid("get", "secrets")
	if _, err := c.AwaitOwn(t.Context(), never, silent); err != nil {
		t.Error(err)
	}
}
