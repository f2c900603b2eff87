package translate

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
)

// maxProtocolAnnotation is the longest annotation, in bytes: more than the longest names and protocols of MaxPorts ports.
const maxProtocolAnnotation = 32 << 10

// isHTTP decides whether requests on a port are carried one by one. annotated is the protocol that the annotation has for the port,
// empty if it has none. The annotation comes first, then appProtocol, and a port without either is
// HTTP by the prefix of its name, as in Istio. Everything else is carried as TCP.
func isHTTP(p *corev1.ServicePort, annotated string) bool {
	switch {
	case p.Protocol != "" && p.Protocol != corev1.ProtocolTCP:
		return false
	case annotated != "":
		http, _ := applicationProtocol(annotated)
		return http
	case p.AppProtocol != nil && *p.AppProtocol != "":
		http, _ := applicationProtocol(strings.ToLower(*p.AppProtocol))
		return http
	}
	prefix, _, _ := strings.Cut(p.Name, "-")
	switch prefix {
	case "http", "http2", "grpc": // grpc-web begins with grpc-
		return true
	}
	return false
}

// applicationProtocol returns whether the protocol of that name is HTTP in clear, and whether the name is known.
func applicationProtocol(name string) (http, known bool) {
	switch name {
	case "http", "http2", "h2c", "kubernetes.io/h2c", "grpc", "grpc-web", "ws", "kubernetes.io/ws":
		return true, true
	case "tcp", "tls", "https":
		return false, true
	}
	return false, false
}

// checkProtocols checks a Service's annotation.
func checkProtocols(s *corev1.Service) field.ErrorList {
	if _, err := annotatedProtocols(s); err != nil {
		return field.ErrorList{err}
	}
	return nil
}

// annotatedProtocols are the protocols of TCP ports, by number, that a Service's annotation has: one for all ports, or a list of
// PORT=PROTOCOL, where PORT is a name or a number. The error is the first in the annotation.
func annotatedProtocols(s *corev1.Service) (map[uint16]string, *field.Error) {
	value, there := s.Annotations[v1alpha1.ProtocolAnnotation]
	if !there {
		return nil, nil
	}
	at := field.NewPath("metadata", "annotations").Key(v1alpha1.ProtocolAnnotation)
	if len(value) > maxProtocolAnnotation {
		return nil, field.TooLong(at, "", maxProtocolAnnotation)
	}
	protocols := make(map[uint16]string, len(s.Spec.Ports))
	if !strings.ContainsAny(value, "=,") {
		protocol := strings.TrimSpace(value)
		for i := range s.Spec.Ports {
			if p := servicePort(&s.Spec.Ports[i]); p.Protocol == discovery.TCP {
				protocols[p.Port] = protocol
			}
		}
		return protocols, checkName(at, protocol)
	}
	for entry := range strings.SplitSeq(value, ",") {
		name, protocol, isPair := strings.Cut(entry, "=")
		name, protocol = strings.TrimSpace(name), strings.TrimSpace(protocol)
		if !isPair {
			return nil, field.Invalid(at, clip.Name(entry), "must be PORT=PROTOCOL, or one protocol for all ports")
		}
		port, err := tcpPort(s, name)
		if err != nil {
			return nil, field.Invalid(at, clip.Name(entry), err.Error())
		}
		if protocols[port] != "" {
			return nil, field.Invalid(at, clip.Name(entry), fmt.Sprintf("port %d is in the list twice", port))
		}
		if err := checkName(at, protocol); err != nil {
			return nil, err
		}
		protocols[port] = protocol
	}
	return protocols, nil
}

func checkName(at *field.Path, name string) *field.Error {
	if _, known := applicationProtocol(name); known {
		return nil
	}
	return field.NotSupported(at, clip.Name(name), []string{
		"http", "http2", "h2c", "kubernetes.io/h2c", "grpc", "grpc-web", "ws", "kubernetes.io/ws", "tcp", "tls", "https",
	})
}

// tcpPort returns the TCP port of a Service with that name or number. A name of digits is a number: each port can be
// addressed by its number.
func tcpPort(s *corev1.Service, name string) (uint16, error) {
	number, notNumber := strconv.ParseUint(name, 10, 16)
	other := ""
	for i := range s.Spec.Ports {
		p := servicePort(&s.Spec.Ports[i])
		matches := name != "" && p.Name == name
		if notNumber == nil {
			matches = uint64(p.Port) == number
		}
		switch {
		case !matches:
		case p.Protocol == discovery.TCP:
			return p.Port, nil
		default:
			other = p.Protocol
		}
	}
	if other != "" {
		return 0, fmt.Errorf("port %s is %s: only TCP ports have a protocol here", name, other)
	}
	return 0, fmt.Errorf("the Service has no port %q", clip.Name(name))
}
