package translate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
)

// proxyProtocol2 is the one version that endpoints can get: the first has no place for the cluster's name.
const proxyProtocol2 = "v2"

// wantsProxyProtocol is true for a checked Service whose endpoints get the header of the PROXY protocol.
func wantsProxyProtocol(s *corev1.Service) bool {
	return s.Annotations[v1alpha1.ProxyProtocolAnnotation] == proxyProtocol2
}

func proxyProtocolPath() *field.Path {
	return field.NewPath("metadata", "annotations").Key(v1alpha1.ProxyProtocolAnnotation)
}

// checkProxyProtocol checks a Service's annotation.
func checkProxyProtocol(s *corev1.Service) field.ErrorList {
	value, there := s.Annotations[v1alpha1.ProxyProtocolAnnotation]
	if !there || value == proxyProtocol2 {
		return nil
	}
	return field.ErrorList{field.NotSupported(proxyProtocolPath(), clip.Name(value), []string{proxyProtocol2})}
}

// CarriedAsTCP warns of ports of a checked Service that would be HTTP without its PROXY protocol; nil: there are none.
func CarriedAsTCP(s *corev1.Service) *field.Error {
	if !wantsProxyProtocol(s) {
		return nil
	}
	annotated, _ := annotatedProtocols(s) // checked
	var ports []string
	for i := range s.Spec.Ports {
		if p := servicePort(&s.Spec.Ports[i]); isHTTP(&s.Spec.Ports[i], annotated[p.Port]) {
			ports = append(ports, fmt.Sprint(p.Port))
		}
	}
	if ports == nil {
		return nil
	}
	return InvalidField(proxyProtocolPath(), "port %s would be HTTP, and is carried as TCP: a PROXY header is of one caller, and HTTP connections "+
		"are shared; remove the annotation to have requests balanced and repeated one by one, or set %s to tcp",
		strings.Join(ports, ", "), v1alpha1.ProtocolAnnotation)
}
