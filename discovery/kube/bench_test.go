package kube

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const (
	manyServices = 10_000
	manyNodes    = 100
	perSlice     = 5 // endpoints
)

func benchNode(i int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i), Labels: map[string]string{
			corev1.LabelTopologyRegion: "north", corev1.LabelTopologyZone: fmt.Sprintf("n-%d", i%3),
		}},
		Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.%d.0.0/16", i)}},
	}
}

func benchService(i int) *corev1.Service {
	ip := fmt.Sprintf("172.16.%d.%d", i/250, i%250)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%d", i%100), Name: fmt.Sprintf("service-%d", i)},
		Spec: corev1.ServiceSpec{
			ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "grpc", Port: 90}},
		},
	}
}

func benchSlice(i, version int) *discoveryv1.EndpointSlice {
	http, grpc, web, rpc := "http", "grpc", int32(8080), int32(9090)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("ns-%d", i%100), Name: fmt.Sprintf("service-%d-abc", i),
			Labels: map[string]string{discoveryv1.LabelServiceName: fmt.Sprintf("service-%d", i)},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &http, Port: &web}, {Name: &grpc, Port: &rpc}},
	}
	for e := range perSlice {
		node, zone, ready := fmt.Sprintf("node-%d", (i+e)%manyNodes), fmt.Sprintf("n-%d", (i+e)%manyNodes%3), e > 0 || version%2 == 0
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.%d.%d.%d", (i+e)%manyNodes, i/250, i%250)}, NodeName: &node, Zone: &zone,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: fmt.Sprintf("service-%d-%d", i, e)},
		})
	}
	return s
}

func benchExport(i int) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "multicluster.x-k8s.io/v1beta1", "kind": kindExport,
		"metadata": map[string]any{"namespace": fmt.Sprintf("ns-%d", i%100), "name": fmt.Sprintf("service-%d", i)},
	}}
}

func benchDerived(i int) *corev1.Service {
	s := benchService(i)
	s.Labels = map[string]string{
		v1alpha1.DerivedLabel: v1alpha1.DerivedImport, v1alpha1.ServiceNamespaceLabel: s.Namespace, v1alpha1.ServiceNameLabel: s.Name,
	}
	s.Namespace, s.Name = ownNamespace, s.Name+"-derived"
	for p := range s.Spec.Ports {
		s.Spec.Ports[p].TargetPort.IntVal = int32(20_000 + 2*i + p)
	}
	return s
}

// fill lists a large cluster into the tables: 10,000 services, exported and imported, with 50,000 endpoints on 100 nodes.
func (l *lab) fill(services int) {
	lists := map[string][]any{}
	for i := range manyNodes {
		lists[kindNode] = append(lists[kindNode], benchNode(i))
	}
	for i := range services {
		lists[kindService] = append(lists[kindService], benchService(i), benchDerived(i))
		lists[kindSlice] = append(lists[kindSlice], benchSlice(i, 0))
		lists[kindExport] = append(lists[kindExport], benchExport(i))
	}
	for _, t := range l.tables {
		if err := t.Replace(lists[t.kind], "1"); err != nil {
			l.t.Fatal(err)
		}
	}
}

// BenchmarkStart is all that is done between the API server's answers and the first update.
func BenchmarkStart(b *testing.B) {
	for _, services := range []int{1_000, manyServices} {
		b.Run(strconv.Itoa(services), func(b *testing.B) {
			for b.Loop() {
				l := newLab(b, testConfig())
				l.fill(services)
				discovery.NewCatalog(nil).SetLocal(l.world.flush())
			}
		})
	}
}

// BenchmarkEvent is one event of one slice, up to the catalog.
func BenchmarkEvent(b *testing.B) {
	for _, services := range []int{1_000, manyServices} {
		b.Run(strconv.Itoa(services), func(b *testing.B) {
			l := newLab(b, testConfig())
			l.fill(services)
			catalog := discovery.NewCatalog(nil)
			catalog.SetLocal(l.world.flush())
			version := 0
			for b.Loop() {
				version++
				if err := l.tables[2].Update(benchSlice(version%services, version/services+1)); err != nil {
					b.Fatal(err)
				}
				catalog.SetLocal(l.world.flush())
			}
		})
	}
}

// BenchmarkSnapshot writes and reads the largest file.
func BenchmarkSnapshot(b *testing.B) {
	l := newLab(b, testConfig())
	l.fill(manyServices)
	slices := l.tables[2]
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			slices.unsaved = true
			data, err := encodeSnapshot(wantHeader(slices.name), slices.forSaving())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(data)), "bytes")
		}
	})
	b.Run("read", func(b *testing.B) {
		slices.unsaved = true
		data, err := encodeSnapshot(wantHeader(slices.name), slices.forSaving())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := decodeSnapshot(bytes.NewReader(data), wantHeader(slices.name), slices.empty, func(metav1.Object) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory reports what a large cluster takes when all is quiet, the catalog not counted.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		l := newLab(b, testConfig())
		l.fill(manyServices)
		known := heap() - before
		local := l.world.flush()
		b.ReportMetric(known/(1<<20), "MB/known")
		b.ReportMetric((heap()-before-known)/(1<<20), "MB/update")
		runtime.KeepAlive(local)
		runtime.KeepAlive(l)
	}
}
