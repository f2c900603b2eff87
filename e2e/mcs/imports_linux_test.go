package mcs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// notExported: a service that is not exported is not visible in any cluster.
func notExported(s *spec) {
	s.create(s.first)
	for _, c := range s.both() {
		lines, err := s.run(s.Context(), c, "call", "-n", "20", s.address(helloPort))
		s.must(err)
		for _, line := range lines {
			if !strings.HasPrefix(line, failed) {
				s.Errorf("%s: it answered %q", c.Name, line)
			}
		}
	}
	s.neverImported()
}

// neverImported waits until another service has been imported everywhere: what happened before would have shown by then.
func (s *spec) neverImported() {
	s.Helper()
	other := s.spec(s.T)
	other.create(s.first)
	other.export(s.first)
	other.everywhere()
	for _, c := range s.both() {
		for _, event := range c.imports.of(s.service) {
			s.Errorf("%s: there is an import: %s %+v", c.Name, event.Type, event.Object)
		}
	}
}

// livesWhileExported: an import comes with the first cluster that exports, and goes with the last one.
func livesWhileExported(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.everywhere(exportedBy(s.first))
	s.create(s.second)
	s.export(s.second)
	s.everywhere(exportedBy(s.first, s.second))
	s.unexport(s.first)
	s.everywhere(exportedBy(s.second))
	for _, c := range s.both() {
		for _, event := range c.imports.of(s.service) {
			if event.Type == watch.Deleted {
				s.Errorf("%s: the import was deleted while a cluster exported the service", c.Name)
			}
		}
	}
	s.unexport(s.second)
	for _, c := range s.both() {
		s.gone(c)
	}
}

func clusterSetIPType(s *spec) {
	s.create(s.first)
	s.typeAndUnexport(mcsv1alpha1.ClusterSetIP)
}

func headlessType(s *spec) {
	s.create(s.first, headless)
	s.typeAndUnexport(mcsv1alpha1.Headless)
}

func (s *spec) typeAndUnexport(want mcsv1alpha1.ServiceImportType) {
	s.Helper()
	s.export(s.first)
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionTrue, string(mcsv1alpha1.ServiceExportReasonValid))
	s.everywhere(hasType(want))
	s.unexport(s.first)
	for _, c := range s.both() {
		s.gone(c)
	}
}

// sessionAffinity is what the suite's Service has.
func sessionAffinity(s *spec) {
	service := s.create(s.first)
	s.export(s.first)
	s.everywhere(func(i *mcsv1alpha1.ServiceImport) error {
		return errors.Join(same("sessionAffinity", i.Spec.SessionAffinity, corev1.ServiceAffinityClientIP),
			same("sessionAffinityConfig", i.Spec.SessionAffinityConfig, service.Spec.SessionAffinityConfig))
	})
}

func internalTrafficPolicy(s *spec) {
	for _, policy := range []corev1.ServiceInternalTrafficPolicy{
		corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal,
	} {
		one := s.spec(s.T)
		one.create(s.first, func(service *corev1.Service) { service.Spec.InternalTrafficPolicy = &policy })
		one.export(s.first)
		one.everywhere(func(i *mcsv1alpha1.ServiceImport) error {
			return same("internalTrafficPolicy", i.Spec.InternalTrafficPolicy, &policy)
		})
	}
}

func trafficDistribution(s *spec) {
	closest := corev1.ServiceTrafficDistributionPreferClose
	s.create(s.first, func(service *corev1.Service) { service.Spec.TrafficDistribution = &closest })
	s.export(s.first)
	s.everywhere(func(i *mcsv1alpha1.ServiceImport) error {
		return same("trafficDistribution", i.Spec.TrafficDistribution, &closest)
	})
}

func clusterSetIP(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.everywhere(hasIPs)
}

func ports(s *spec) {
	service := s.create(s.first)
	s.export(s.first)
	s.everywhere(hasPorts(service.Spec.Ports...))
}

// headlessWithoutIP: not even for a moment.
func headlessWithoutIP(s *spec) {
	s.create(s.first, headless)
	s.export(s.first)
	s.everywhere(hasType(mcsv1alpha1.Headless), hasFamilies)
	for _, c := range s.both() {
		for _, event := range c.imports.of(s.service) {
			if i := event.Object.(*mcsv1alpha1.ServiceImport); len(i.Spec.IPs) > 0 {
				s.Errorf("%s: the import had the IPs %q", c.Name, i.Spec.IPs)
			}
		}
	}
}

// externalName cannot be exported.
func externalName(s *spec) {
	s.create(s.first, func(service *corev1.Service) {
		service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"}
	})
	s.export(s.first)
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionFalse,
		string(mcsv1alpha1.ServiceExportReasonInvalidServiceType))
	s.neverImported()
}

// hasType of import.
func hasType(want mcsv1alpha1.ServiceImportType) func(*mcsv1alpha1.ServiceImport) error {
	return func(i *mcsv1alpha1.ServiceImport) error { return same("type", i.Spec.Type, want) }
}

// exportedBy wants the status to name exactly these.
func exportedBy(clusters ...*cluster) func(*mcsv1alpha1.ServiceImport) error {
	return func(i *mcsv1alpha1.ServiceImport) error {
		var is, want []string
		for _, c := range i.Status.Clusters {
			is = append(is, c.Cluster)
		}
		for _, c := range clusters {
			want = append(want, c.Name)
		}
		return same("clusters", is, want)
	}
}

// hasPorts wants those of Services, in any order.
func hasPorts(want ...corev1.ServicePort) func(*mcsv1alpha1.ServiceImport) error {
	var all []mcsv1alpha1.ServicePort
	for _, p := range want {
		all = append(all, mcsv1alpha1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port, AppProtocol: p.AppProtocol})
	}
	byName := func(a, b mcsv1alpha1.ServicePort) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(all, byName)
	return func(i *mcsv1alpha1.ServiceImport) error {
		return same("ports", slices.SortedFunc(slices.Values(i.Spec.Ports), byName), all)
	}
}

// hasIPs wants at least one, and those of the families in their order.
func hasIPs(i *mcsv1alpha1.ServiceImport) error {
	var families []corev1.IPFamily
	for _, ip := range i.Spec.IPs {
		switch address, err := netip.ParseAddr(ip); {
		case err != nil:
			return err
		case address.Is4():
			families = append(families, corev1.IPv4Protocol)
		default:
			families = append(families, corev1.IPv6Protocol)
		}
	}
	return errors.Join(same("ipFamilies", i.Spec.IPFamilies, families), hasFamilies(i))
}

// hasFamilies wants those of the clusters, which are IPv4 here.
func hasFamilies(i *mcsv1alpha1.ServiceImport) error {
	return same("ipFamilies", i.Spec.IPFamilies, []corev1.IPFamily{corev1.IPv4Protocol})
}

// address of a port of the service for all clusters.
func (s *spec) address(port int) string { return fmt.Sprintf("%s:%d", s.fqdn(), port) }
