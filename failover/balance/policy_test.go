package balance

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/hashtrie"
)

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	if p := policyOf("here", &discovery.Service{}, servicePort); p.consecutive != defaultConsecutiveFailures ||
		p.connectTimeout != defaultConnectTimeout || p.maxPercent != 100 {
		t.Errorf("%+v", p)
	}
	odd := int32(700)
	p := policyOf("here", &discovery.Service{Policy: &v1alpha1.TrafficPolicySpec{
		OutlierDetection: &v1alpha1.OutlierDetection{MaxEjectionPercent: &odd},
	}}, servicePort)
	if p.maxPercent != 100 || p.interval != defaultInterval {
		t.Errorf("%+v", p)
	}
}

// The settings of a port replace the policy's wholly; other ports keep those.
func TestPolicyOfPort(t *testing.T) {
	t.Parallel()
	second := metav1.Duration{Duration: time.Second}
	svc := benchService(1, &v1alpha1.TrafficPolicySpec{
		ConnectionPool: &v1alpha1.ConnectionPool{TCP: &v1alpha1.TCPSettings{ConnectTimeout: &second}},
		PortLevelSettings: []v1alpha1.PortSettings{{
			Port: v1alpha1.PortSelector{Number: servicePort}, LoadBalancer: &v1alpha1.LoadBalancer{Simple: v1alpha1.Random},
		}},
	}).Services.Get(echoName)
	svc.Ports = append(svc.Ports, discovery.ServicePort{Name: "other", Port: servicePort + 1, Protocol: discovery.TCP})
	table := NewTable(Config{Cluster: "here", Metrics: new(counts)})
	table.Apply(&discovery.Snapshot{Services: hashtrie.Of(map[discovery.ServiceName]*discovery.Service{echoName: svc})})
	for port, want := range map[uint16]policy{
		servicePort:     {method: atRandom, connectTimeout: defaultConnectTimeout},
		servicePort + 1: {method: leastRequest, connectTimeout: time.Second},
	} {
		p := table.group(Key{Service: echoName, Port: port}).policyNow()
		if p.method != want.method || p.connectTimeout != want.connectTimeout {
			t.Errorf("port %d: method %v, connect timeout %v", port, p.method, p.connectTimeout)
		}
	}
}
