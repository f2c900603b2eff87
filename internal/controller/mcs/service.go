package mcs

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// ports of a Service as the catalog's type.
func ports(s *corev1.Service) []discovery.ServicePort {
	out := make([]discovery.ServicePort, 0, len(s.Spec.Ports))
	for _, p := range s.Spec.Ports {
		sp := discovery.ServicePort{Name: p.Name, Port: number(p.Port), Protocol: cmp.Or(string(p.Protocol), discovery.TCP)}
		if p.AppProtocol != nil {
			sp.AppProtocol = *p.AppProtocol
		}
		out = append(out, sp)
	}
	return out
}

// number of a port that the API server has validated; 0 is none.
func number(port int32) uint16 {
	if port < 0 || port > 1<<16-1 {
		return 0
	}
	return uint16(port)
}

// spec of a Service as the catalog's type, in which Kubernetes' defaults are zero.
func spec(s *corev1.Service) discovery.ServiceSpec {
	out := discovery.ServiceSpec{Headless: s.Spec.ClusterIP == corev1.ClusterIPNone}
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		out.SessionAffinity = string(corev1.ServiceAffinityClientIP)
		seconds := corev1.DefaultClientIPServiceAffinitySeconds
		if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			seconds = *c.ClientIP.TimeoutSeconds
		}
		out.SessionAffinityTimeout = time.Duration(seconds) * time.Second
	}
	if p := s.Spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		out.InternalTrafficPolicy = string(*p)
	}
	if d := s.Spec.TrafficDistribution; d != nil {
		out.TrafficDistribution = *d
	}
	for _, f := range s.Spec.IPFamilies {
		out.IPFamilies = append(out.IPFamilies, string(f))
	}
	return out
}

// validity is the reason of the condition Valid, and the export if it is valid: of a Service, or of an ExternalService that is used.
func validity(
	e *mcsv1beta1.ServiceExport, s *corev1.Service, outside bool,
) (mcsv1beta1.ServiceExportConditionReason, *discovery.Export) {
	switch {
	case outside:
	case s == nil:
		return mcsv1beta1.ServiceExportReasonNoService, nil
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return mcsv1beta1.ServiceExportReasonInvalidServiceType, nil
	}
	out := &discovery.Export{Labels: e.Spec.ExportedLabels, Annotations: e.Spec.ExportedAnnotations}
	if !e.CreationTimestamp.IsZero() {
		out.Created = e.CreationTimestamp.UTC()
	}
	return mcsv1beta1.ServiceExportReasonValid, out
}

// takenOver is whether the Service has the takeover annotation, and why it cannot be taken over.
func takenOver(s *corev1.Service) (wanted bool, problem string) {
	if s == nil || s.Annotations[v1alpha1.TakeoverAnnotation] != "true" {
		return false, ""
	}
	switch {
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		return true, "a Service of type ExternalName has no cluster IP to answer"
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		return true, "a headless Service has no cluster IP to answer"
	case s.Namespace == "default" && s.Name == "kubernetes":
		return true, "the API server's own Service must not depend on Eastway"
	}
	return true, ""
}
