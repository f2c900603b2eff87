package mcs

import (
	"reflect"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
)

func remembering(note string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{mcsv1beta1.LabelSourceCluster: "a"}, Annotations: map[string]string{memoryAnnotation: note},
		},
		Endpoints: endpoints,
	}
}

// What is remembered of a peer is what it sent, except for counts.
func TestRecall(t *testing.T) {
	t.Parallel()
	e := discovery.PeerExport{
		Peer:  "a",
		Ports: []discovery.ServicePort{{Name: "http", Port: 80, Protocol: "TCP", AppProtocol: "kubernetes.io/h2c"}, {Port: 53, Protocol: "UDP"}},
		Spec:  discovery.ServiceSpec{SessionAffinity: "ClientIP", SessionAffinityTimeout: 3 * time.Hour, IPFamilies: []string{"IPv4"}},
		Export: discovery.Export{
			Created: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
		},
	}
	note, err := remember(&e)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := recall("a", []*discoveryv1.EndpointSlice{remembering(note)})
	if !ok || !reflect.DeepEqual(got, e) {
		t.Errorf("%+v, want %+v", got, e)
	}
	if _, ok := recall("b", []*discoveryv1.EndpointSlice{remembering(note)}); ok {
		t.Error("remembered of another peer")
	}
	e.Export.Annotations["much"] = strings.Repeat("x", maxMemory)
	if note, err = remember(&e); err != nil || len(note) > maxMemory {
		t.Fatalf("%d bytes, %v", len(note), err)
	}
	if got, ok = recall("a", []*discoveryv1.EndpointSlice{remembering(note)}); !ok || len(got.Ports) != 2 || got.Export.Labels != nil {
		t.Errorf("%+v", got)
	}
}

// Pods are remembered once, whatever families their slices are of.
func TestRecallPods(t *testing.T) {
	t.Parallel()
	yes, no, first, second := true, false, "shop-0", "shop-1"
	pod := func(hostname *string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Hostname: hostname, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	v4 := remembering("{}", pod(&second, &no), pod(&first, &yes))
	v6 := remembering("{}", pod(&first, &yes), pod(&second, &no))
	got, ok := recall("a", []*discoveryv1.EndpointSlice{v4, v6})
	if want := []discovery.Pod{{Hostname: first, Ready: true}, {Hostname: second}}; !ok || !reflect.DeepEqual(got.Pods, want) {
		t.Errorf("%+v", got.Pods)
	}
}

func TestRecallRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, note := range []string{
		"", "x", "[]", `{"ports":[{"port":0,"protocol":"TCP"}]}`, `{"ports":[{"port":80,"protocol":"ICMP"}]}`,
		`{"ports":[{"port":80,"protocol":"TCP","name":"Not A Name"}]}`, `{"ports":[{"port":99999,"protocol":"TCP"}]}`,
		`{"spec":{"sessionAffinity":"Cookie"}}`, `{"spec":{"internalTrafficPolicy":"Nearest"}}`,
		`{"spec":{"sessionAffinity":"ClientIP","sessionAffinityTimeout":-1}}`,
		`{"ports":[` + strings.Repeat(`{"port":80,"protocol":"TCP"},`, maxImportPorts) + `{"port":80,"protocol":"TCP"}]}`,
	} {
		if got, ok := recall("a", []*discoveryv1.EndpointSlice{remembering(note)}); ok {
			t.Errorf("%.80s: %+v", note, got)
		}
	}
}

// FuzzRecall: whatever the annotation says, what is taken from it can be written to the API server.
func FuzzRecall(f *testing.F) {
	f.Add(`{"ports":[{"name":"http","port":80,"protocol":"TCP"}],"spec":{"headless":true},"export":{"created":"2024-01-01T00:00:00Z"}}`)
	f.Add(`{"spec":{"sessionAffinity":"ClientIP","sessionAffinityTimeout":1}}`)
	f.Fuzz(func(t *testing.T, note string) {
		e, ok := recall("a", []*discoveryv1.EndpointSlice{remembering(note)})
		if !ok {
			return
		}
		again, err := remember(&e)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := recall("a", []*discoveryv1.EndpointSlice{remembering(again)}); !ok {
			t.Errorf("not remembered twice: %s", again)
		}
		i := discovery.Resolve("here", &discovery.Service{Peers: []discovery.PeerExport{e}})
		d := derivation{ports: i.Ports, spec: i.Spec}
		object := d.object("n", nil, nil)
		if c := object.Spec.SessionAffinityConfig; c != nil && (*c.ClientIP.TimeoutSeconds < 1 || *c.ClientIP.TimeoutSeconds > 86400) {
			t.Errorf("affinity for %d s", *c.ClientIP.TimeoutSeconds)
		}
	})
}
