package translate

import (
	"strings"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

func TestProxyProtocolAnnotation(t *testing.T) {
	t.Parallel()
	s := annotated("web=http,api=grpc")
	if svc := Service(discovery.ServiceName{}, s); svc.ProxyProtocol || httpPorts(s) == "" || CarriedAsTCP(s) != nil {
		t.Errorf("without the annotation: %+v, %v", svc, CarriedAsTCP(s))
	}
	s.Annotations[v1alpha1.ProxyProtocolAnnotation] = "v2"
	if errs := (&Checker{}).Check("default", s); len(errs) > 0 {
		t.Error(errs)
	}
	if svc := Service(discovery.ServiceName{}, s); !svc.ProxyProtocol || httpPorts(s) != "" {
		t.Errorf("%+v, HTTP on %s", svc, httpPorts(s))
	}
	const want = "port 80, 9090 would be HTTP, and is carried as TCP: "
	if doubt := CarriedAsTCP(s); doubt == nil || !strings.HasPrefix(doubt.Detail, want) ||
		doubt.Field != "metadata.annotations[eastway.dev/proxy-protocol]" {
		t.Errorf("%v", doubt)
	}
	s.Annotations[v1alpha1.ProtocolAnnotation] = "tcp"
	if doubt := CarriedAsTCP(s); doubt != nil {
		t.Error(doubt)
	}
}

func TestInvalidProxyProtocolAnnotation(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "v1", "V2", "2", "true", " v2", strings.Repeat("x", 1000)} {
		s := annotated("tcp")
		s.Annotations[v1alpha1.ProxyProtocolAnnotation] = value
		errs := (&Checker{}).Check("default", s)
		if len(errs) != 1 || errs[0].Field != "metadata.annotations[eastway.dev/proxy-protocol]" ||
			!strings.Contains(errs[0].ErrorBody(), `supported values: "v2"`) || len(errs[0].ErrorBody()) > 200 {
			t.Errorf("%.80q: %v", value, errs)
		}
	}
}
