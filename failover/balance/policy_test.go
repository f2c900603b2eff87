package balance

import (
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestPolicyOf(t *testing.T) {
	t.Parallel()
	if p := policyOf("here", &discovery.Service{}); p.consecutive != defaultConsecutiveFailures ||
		p.connectTimeout != defaultConnectTimeout || p.maxPercent != 100 {
		t.Errorf("%+v", p)
	}
	odd := int32(700)
	p := policyOf("here", &discovery.Service{Policy: &v1alpha1.TrafficPolicySpec{
		OutlierDetection: &v1alpha1.OutlierDetection{MaxEjectionPercent: &odd},
	}})
	if p.maxPercent != 100 || p.interval != defaultInterval {
		t.Errorf("%+v", p)
	}
}
