package mcs

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/controller/apply"
)

// messageBytes are those of a condition's text at most; the log has the rest.
const messageBytes = 1024

// refusal is why an ExternalService is not used: a reason of its condition Accepted, and a text; "": it is used.
func refusal(e *v1alpha1.ExternalService, service *corev1.Service) (reason, message string) {
	if errs := v1alpha1.ValidateClusterExternalService(e); len(errs) > 0 {
		return v1alpha1.ReasonInvalid, clip.Text(errs.ToAggregate().Error(), messageBytes)
	}
	if service != nil {
		return v1alpha1.ReasonConflicted, fmt.Sprintf(
			"metadata.name: there is a Service %s in namespace %s: give the ExternalService another name.", e.Name, e.Namespace)
	}
	return "", ""
}

// planExternal has callers reach an ExternalService at a derived Service.
func (p *plan) planExternal(s *state) {
	if s.external == nil || !s.namespace {
		return
	}
	p.refused, p.refusal = refusal(s.external, s.service)
	switch is := s.derived[externalService(s.name)]; {
	case p.refused == "":
		p.derived = append(p.derived, derivation{kind: v1alpha1.DerivedExternal, service: s.name, ports: externalPorts(s.external)})
	case p.refused == v1alpha1.ReasonInvalid && is != nil:
		// Proxies go on with the last valid version, and callers with its address.
		p.derived = append(p.derived, derivation{kind: v1alpha1.DerivedExternal, service: s.name, ports: ports(is)})
	}
}

// derivedExternal is the Service at which callers reach an ExternalService: as it was just written or, where that failed, as it is.
func derivedExternal(s *state, p *plan, written map[string]*corev1.Service) *corev1.Service {
	name := externalService(s.name)
	if !slices.ContainsFunc(p.derived, func(d derivation) bool { return d.name() == name }) {
		return nil
	}
	if w := written[name]; w != nil {
		return w
	}
	return s.derived[name]
}

// externalPorts are those of an ExternalService as the catalog's type.
func externalPorts(e *v1alpha1.ExternalService) []discovery.ServicePort {
	out := make([]discovery.ServicePort, 0, len(e.Spec.Ports))
	for i := range e.Spec.Ports {
		p := &e.Spec.Ports[i]
		out = append(out, discovery.ServicePort{Name: p.Name, Port: uint16(p.Number), Protocol: discovery.TCP, AppProtocol: p.AppProtocol()})
	}
	return out
}

// writeExternal writes the status of an ExternalService.
func writeExternal(ctx context.Context, w *apply.Writer, e *v1alpha1.ExternalService, status v1alpha1.ExternalServiceStatus) error {
	if equal(e.Status, status) {
		return nil
	}
	e = e.DeepCopy()
	e.Status = status
	return w.ApplyStatus(ctx, e)
}

// externalStatus is the status that an ExternalService should have, given the one it has; failed is why the rest could not be written.
func externalStatus(e *v1alpha1.ExternalService, p *plan, derived *corev1.Service, failed error, now time.Time) v1alpha1.ExternalServiceStatus {
	out := *e.Status.DeepCopy()
	out.ObservedGeneration, out.Hostname, out.Addresses = e.Generation, "", nil
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&out.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message,
			ObservedGeneration: e.Generation, LastTransitionTime: metav1.NewTime(now),
		})
	}
	if derived != nil {
		out.Hostname, out.Addresses = derived.Name+"."+derived.Namespace+".svc", clusterIPs(derived)
	}
	if p.refused == "" {
		set(v1alpha1.ExternalAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "The ExternalService is in use.")
	} else {
		set(v1alpha1.ExternalAccepted, metav1.ConditionFalse, p.refused, p.refusal)
	}
	switch {
	case p.refused != "" && len(out.Addresses) > 0:
		set(v1alpha1.ExternalProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed,
			"Callers in the cluster reach its last valid version at status.addresses.")
	case p.refused != "":
		set(v1alpha1.ExternalProgrammed, metav1.ConditionFalse, v1alpha1.ReasonNotAccepted, "Callers have no address, see Accepted.")
	case len(out.Addresses) > 0:
		set(v1alpha1.ExternalProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Callers in the cluster reach it at status.addresses.")
	case failed != nil && lasting(failed):
		set(v1alpha1.ExternalProgrammed, metav1.ConditionFalse, v1alpha1.ReasonFailed, clip.Text(failed.Error(), messageBytes))
	default:
		set(v1alpha1.ExternalProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending, "It has no address yet.")
	}
	return out
}
