package mcs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/cluster/machine"
)

const (
	// etcdAddress in the network of a cluster's control machine.
	etcdAddress = "127.0.0.1:2379"
	// maxAnswer of etcd, in bytes.
	maxAnswer = 1 << 20
)

// stored is what etcd says of a change.
type stored struct {
	Header  struct{ Revision string }
	Deleted string
}

// etcd of a cluster is asked as curl would, at its JSON gateway.
func (s *spec) etcd(c *cluster, path string, question any) (answer stored) {
	s.Helper()
	machines, err := machine.Find(s.lab.Dir())
	s.must(err)
	var control *machine.Machine
	for _, m := range machines {
		if m.Name() == c.Name+"-control" {
			control = m
		}
	}
	if control == nil {
		s.Fatalf("%s has no control machine", c.Name)
	}
	network, err := control.Network()
	s.must(err)
	defer network.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, kind, address string) (conn net.Conn, err error) {
		err = network.Do(func() (err error) {
			conn, err = (&net.Dialer{}).DialContext(ctx, kind, address)
			return err
		})
		return conn, err
	}}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(question)
	s.must(err)
	request, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://"+etcdAddress+path, bytes.NewReader(body))
	s.must(err)
	response, err := (&http.Client{Transport: transport}).Do(request)
	s.must(err)
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	s.must(err)
	if response.StatusCode != http.StatusOK {
		s.Fatalf("etcd: %s: %s: %s", path, response.Status, said)
	}
	s.must(json.Unmarshal(said, &answer))
	return answer
}

// slice of endpoints that only the check writes.
func (s *spec) slice(c *cluster, name string, pod *corev1.Pod) *discoveryv1.EndpointSlice {
	s.Helper()
	port, protocol, portName, yes := int32(helloPort), corev1.ProtocolTCP, "tcp", true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{
			discoveryv1.LabelServiceName: s.service, discoveryv1.LabelManagedBy: "faults",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{pod.Status.PodIP}, NodeName: &pod.Spec.NodeName, Conditions: discoveryv1.EndpointConditions{Ready: &yes},
		}},
		Ports: []discoveryv1.EndpointPort{{Name: &portName, Port: &port, Protocol: &protocol}},
	}
	s.must(c.Create(s.Context(), slice))
	return slice
}

// neighbors are two pods on one node: none is preferred.
func (s *spec) neighbors(c *cluster) (one, other *corev1.Pod) {
	s.Helper()
	var pods corev1.PodList
	s.must(c.List(s.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels{"app": "hello"}))
	on := map[string]*corev1.Pod{}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if other := on[pod.Spec.NodeName]; other != nil {
			return other, pod
		}
		on[pod.Spec.NodeName] = pod
	}
	s.Fatalf("no two of %d pods are on one node", len(pods.Items))
	return nil, nil
}

// watchExpired: an endpoint goes while no watch is possible, and when watches are possible again nothing tells of it: its deletion
// is not in the history any more. So everything has to be listed anew, and until then nothing may be lost.
func watchExpired(s *spec) {
	s.first.imports.end()
	one, other := s.neighbors(s.first)
	s.create(s.first, withoutAffinity, func(service *corev1.Service) { service.Spec.Selector = nil })
	goes, stays := s.slice(s.first, s.service+"-goes", one), s.slice(s.first, s.service+"-stays", other)
	s.export(s.first)
	of := func(pod *corev1.Pod) func(string) bool {
		return func(answer string) bool { return strings.Contains(answer, " "+pod.Name+" ") }
	}
	answeredBy := func(want func(one, other bool) bool) {
		s.Helper()
		s.prints(s.second, func(lines []string) error {
			var byOne, byOther bool
			for _, line := range lines {
				byOne, byOther = byOne || of(one)(line), byOther || of(other)(line)
			}
			if !want(byOne, byOther) {
				return errors.New("others were to answer")
			}
			return nil
		}, "call", "-n", fmt.Sprint(manyCalls), s.address(helloPort))
	}
	answeredBy(func(one, other bool) bool { return one && other })
	end := s.calling(s.second, s.address(helloPort), func(answer string) bool { return of(one)(answer) || of(other)(answer) })
	s.Cleanup(end)

	s.must(s.first.StopAPIServer(s.Context()))
	s.Cleanup(func() {
		if s.Failed() {
			_ = s.first.StartAPIServer(context.WithoutCancel(s.Context())) // an error if it runs
		}
	})
	gone := s.etcd(s.first, "/v3/kv/deleterange", map[string]any{"key": []byte("/registry/endpointslices/" + s.namespace + "/" + goes.Name)})
	s.must(same("objects deleted", gone.Deleted, "1"))
	s.etcd(s.first, "/v3/kv/compaction", map[string]any{"revision": gone.Header.Revision, "physical": true})
	s.must(s.first.StartAPIServer(s.Context()))

	answeredBy(func(one, other bool) bool { return !one && other })
	s.must(s.AwaitConnected(s.Context()))
	end()
	s.must(s.first.Get(s.Context(), client.ObjectKeyFromObject(stays), stays))
	s.imported(s.second, exportedBy(s.first))
	s.newExport() // the controller goes on as well
}

// newExport of the first cluster reaches the second one.
func (s *spec) newExport() {
	s.Helper()
	one := s.spec(s.T)
	one.create(s.first)
	one.export(s.first)
	one.imported(s.second, exportedBy(s.first))
	one.calls(s.second, manyCalls, one.address(helloPort), from(s.first))
}
