package takeover

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/takeover/report"
)

func kubeNode(name, zone, region string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelTopologyZone: zone, corev1.LabelTopologyRegion: region,
	}}}
}

func proxySlice(name, service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	s := slice(15020, endpoints...)
	s.Namespace, s.Name, s.Labels = system, name, map[string]string{discoveryv1.LabelServiceName: service}
	return s
}

// watching runs a Kube source on a fake API server.
func watching(t *testing.T, client *fake.Clientset) *Kube {
	t.Helper()
	k, err := NewKube(KubeConfig{Client: client, Namespace: system, ProxiesService: "eastway-proxies", NodeName: "n1", HealthPort: 9})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := k.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return k
}

// await follows the source until ok.
func await(t *testing.T, k *Kube, what string, ok func(inv *Inventory) bool) {
	t.Helper()
	for {
		if inv, known := k.Inventory(); known && ok(&inv) {
			return
		}
		select {
		case <-k.Changed():
		case <-t.Context().Done():
			t.Fatal(what)
		}
	}
}

func TestKube(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(
		wanted("shop"), derived("shop-1", "shop", intstr.FromInt32(20000)), kubeNode("n1", "z1", "r1"), kubeNode("n2", "z2", "r1"),
		proxySlice("s", "eastway-proxies", endpoint("10.0.0.1", "n1", "z1", "a")), proxySlice("other", "other", endpoint("10.9.9.9", "n1", "", "x")),
	)
	k := watching(t, client)
	want := Inventory{
		Self: report.Locality{Node: "n1", Zone: "z1", Region: "r1"},
		Services: []Service{{
			Name: "default/shop", Addresses: []netip.Addr{addr("10.96.0.1"), addr("fd00::1")},
			Ports: []Port{{"TCP", 80, 20000}, {"UDP", 53, 0}},
		}},
		Proxies: []Proxy{{Address: addr("10.0.0.1"), Health: 15020, Pod: "a", Locality: report.Locality{Node: "n1", Zone: "z1", Region: "r1"}}},
	}
	await(t, k, "the first inventory", func(inv *Inventory) bool { return reflect.DeepEqual(*inv, want) })

	slices := client.DiscoveryV1().EndpointSlices(system)
	moved := proxySlice("s", "eastway-proxies", endpoint("10.0.0.2", "n2", "z2", "b"))
	if _, err := slices.Update(t.Context(), moved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, k, "another proxy on another node, whose region is read", func(inv *Inventory) bool {
		return len(inv.Proxies) == 1 && inv.Proxies[0].Locality == report.Locality{Node: "n2", Zone: "z2", Region: "r1"}
	})
	if err := client.CoreV1().Services(system).Delete(t.Context(), "shop-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, k, "no ports on the proxies", func(inv *Inventory) bool { return len(inv.Services) == 1 && inv.Services[0].Waiting })
	plain := wanted("shop", func(s *corev1.Service) { s.Annotations = nil })
	if _, err := client.CoreV1().Services("default").Update(t.Context(), plain, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, k, "no annotation", func(inv *Inventory) bool { return len(inv.Services) == 0 })
}

// Nodes that cannot be read hold nothing up.
func TestKubeWithoutNodes(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(wanted("shop"), proxySlice("s", "eastway-proxies", endpoint("10.0.0.1", "n1", "z1", "a")))
	client.PrependReactor("get", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("forbidden")
	})
	k := watching(t, client)
	await(t, k, "an inventory", func(inv *Inventory) bool {
		return inv.Self == report.Locality{Node: "n1"} && len(inv.Proxies) == 1 && inv.Proxies[0].Zone == "z1"
	})
}

// Without an answer of the API server there is no inventory, rather than an empty one.
func TestKubeWithoutAPIServer(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	asked := notify.NewSignal()
	client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		asked.Notify()
		return true, nil, errors.New("connection refused")
	})
	k := watching(t, client)
	<-asked
	if inv, ok := k.Inventory(); ok {
		t.Errorf("inventory = %+v", inv)
	}
}

func TestKubeConfigValidate(t *testing.T) {
	t.Parallel()
	good := KubeConfig{Client: fake.NewClientset(), Namespace: "a", ProxiesService: "b", NodeName: "c"}
	for want, change := range map[string]func(*KubeConfig){
		"Client": func(c *KubeConfig) { c.Client = nil }, "Namespace": func(c *KubeConfig) { c.Namespace = "" },
		"ProxiesService": func(c *KubeConfig) { c.ProxiesService = "" }, "NodeName": func(c *KubeConfig) { c.NodeName = "" },
	} {
		bad := good
		change(&bad)
		if _, err := NewKube(bad); err == nil || !strings.Contains(err.Error(), "KubeConfig."+want) {
			t.Errorf("NewKube = %v, want it to name %s", err, want)
		}
	}
}

func TestRemoved(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "apps", Resource: "daemonsets"}
	going := metav1.NewTime(time.Unix(1, 0))
	tests := []struct {
		name string
		ds   *appsv1.DaemonSet
		err  error
		want bool
	}{
		{"upgrade", &appsv1.DaemonSet{}, nil, false},
		{"going", &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &going}}, nil, true},
		{"gone", nil, apierrors.NewNotFound(resource, "x"), true},
		{"rights are gone", nil, apierrors.NewForbidden(resource, "x", nil), true},
		{"account is gone", nil, apierrors.NewUnauthorized("x"), true},
		{"API server is away", nil, errors.New("connection refused"), false},
		{"API server is overloaded", nil, apierrors.NewTooManyRequests("x", 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewClientset()
			client.PrependReactor("get", "daemonsets", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, tt.ds, tt.err
			})
			if got := Removed(t.Context(), client, system, "eastway-node"); got != tt.want {
				t.Errorf("Removed = %v, want %v", got, tt.want)
			}
		})
	}
}
