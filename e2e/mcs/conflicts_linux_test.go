package mcs

import (
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// twice exports the service in both clusters, the older one in the first. Nil leaves the suite's Service as it is.
func (s *spec) twice(younger func(*corev1.Service)) (first, second *corev1.Service) {
	s.Helper()
	first = s.create(s.first)
	older := s.export(s.first)
	s.everywhere(exportedBy(s.first))
	if younger == nil {
		younger = func(*corev1.Service) {}
	}
	second = s.create(s.second, younger)
	s.pass(older)
	s.export(s.second)
	return first, second
}

// unionOfPorts: a port that not all clusters have is a conflict, too: it does not reach all.
func unionOfPorts(s *spec) {
	first, second := s.twice(func(service *corev1.Service) {
		service.Spec.Ports = []corev1.ServicePort{service.Spec.Ports[0], {Name: "stcp", Port: 142, Protocol: corev1.ProtocolSCTP}}
	})
	s.conflict(mcsv1alpha1.ServiceExportReasonPortConflict)
	s.everywhere(hasPorts(append(first.Spec.Ports, second.Spec.Ports[1])...))
}

func portConflict(s *spec) {
	first, _ := s.twice(func(service *corev1.Service) {
		service.Spec.Ports = service.Spec.Ports[:1]
		service.Spec.Ports[0].Port++
	})
	s.conflict(mcsv1alpha1.ServiceExportReasonPortConflict)
	s.everywhere(hasPorts(first.Spec.Ports...))
}

func typeConflict(s *spec) {
	s.twice(headless)
	s.conflict(mcsv1alpha1.ServiceExportReasonTypeConflict)
	s.everywhere(hasType(mcsv1alpha1.ClusterSetIP))
}

// words that an export adds to the import.
func words(labels, annotations map[string]string) func(*mcsv1alpha1.ServiceExport) {
	return func(e *mcsv1alpha1.ServiceExport) {
		e.Spec.ExportedLabels, e.Spec.ExportedAnnotations = labels, annotations
	}
}

// carries wants these labels and annotations, and not those.
func carries(has, hasNot string) func(*mcsv1alpha1.ServiceImport) error {
	return func(i *mcsv1alpha1.ServiceImport) error {
		var errs []error
		for what, words := range map[string]map[string]string{"label": i.Labels, "annotation": i.Annotations} {
			errs = append(errs, same(what, words[has+"-"+what], "true"))
			if _, found := words[hasNot+"-"+what]; found {
				errs = append(errs, errors.New("it has the "+what+" "+hasNot+"-"+what))
			}
		}
		return errors.Join(errs...)
	}
}

func marked(name string) (labels, annotations map[string]string) {
	return map[string]string{name + "-label": "true"}, map[string]string{name + "-annotation": "true"}
}

// exportedWords: the Service has words of its own, which stay where they are.
func exportedWords(s *spec) {
	s.create(s.first, func(service *corev1.Service) { service.Labels, service.Annotations = marked("service") })
	s.export(s.first, words(marked("export")), func(e *mcsv1alpha1.ServiceExport) { e.Labels, e.Annotations = marked("own") })
	s.everywhere(carries("export", "service"), carries("export", "own"))
}

func wordsConflict(s *spec) {
	s.create(s.first)
	older := s.export(s.first, words(marked("first")))
	s.everywhere(carries("first", "second"))
	s.create(s.second)
	s.pass(older)
	s.export(s.second, words(marked("second")))
	s.conflict(mcsv1alpha1.ServiceExportReasonLabelsConflict + "," + mcsv1alpha1.ServiceExportReasonAnnotationsConflict)
	s.everywhere(exportedBy(s.first, s.second), carries("first", "second"))
}

// olderWins: the export decides, wherever it is, and when it goes the other one does.
func olderWins(s *spec) {
	local, closest := corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceTrafficDistributionPreferClose
	s.create(s.second, withoutAffinity)
	older := s.export(s.second)
	s.everywhere(exportedBy(s.second)) // its age counts from when a cluster heard of it
	s.create(s.first, func(service *corev1.Service) {
		service.Spec.InternalTrafficPolicy, service.Spec.TrafficDistribution = &local, &closest
	})
	s.pass(older)
	s.export(s.first)
	s.conflict(mcsv1alpha1.ServiceExportReasonSessionAffinityConflict + "," +
		mcsv1alpha1.ServiceExportReasonInternalTrafficPolicyConflict + "," + mcsv1alpha1.ServiceExportReasonTrafficDistributionConflict)
	cluster := corev1.ServiceInternalTrafficPolicyCluster
	s.everywhere(hasPolicies(corev1.ServiceAffinityNone, &cluster, nil))
	s.unexport(s.second)
	s.everywhere(hasPolicies(corev1.ServiceAffinityClientIP, &local, &closest))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionConflict, metav1.ConditionFalse,
		string(mcsv1alpha1.ServiceExportReasonNoConflicts))
}

func hasPolicies(
	affinity corev1.ServiceAffinity, internal *corev1.ServiceInternalTrafficPolicy, distribution *string,
) func(*mcsv1alpha1.ServiceImport) error {
	return func(i *mcsv1alpha1.ServiceImport) error {
		return errors.Join(same("sessionAffinity", i.Spec.SessionAffinity, affinity),
			same("internalTrafficPolicy", i.Spec.InternalTrafficPolicy, internal),
			same("trafficDistribution", i.Spec.TrafficDistribution, distribution))
	}
}

// affinityConfigConflict is one of its own.
func affinityConfigConflict(s *spec) {
	other := int32(20)
	first, _ := s.twice(func(service *corev1.Service) { service.Spec.SessionAffinityConfig.ClientIP.TimeoutSeconds = &other })
	s.conflict(mcsv1alpha1.ServiceExportReasonSessionAffinityConfigConflict)
	s.everywhere(func(i *mcsv1alpha1.ServiceImport) error {
		return same("sessionAffinityConfig", i.Spec.SessionAffinityConfig, first.Spec.SessionAffinityConfig)
	})
}

// sameAge: of two exports of the same second each cluster puts its own first, which it did not hear of later.
func sameAge(s *spec) {
	const tries = 10
	for range tries {
		one := s.spec(s.T)
		first, second := one.atOnce()
		if !first.CreationTimestamp.Equal(&second.CreationTimestamp) {
			continue // a second has passed in between
		}
		one.conflict(mcsv1alpha1.ServiceExportReasonTypeConflict)
		one.imported(s.first, exportedBy(s.first, s.second), hasType(mcsv1alpha1.ClusterSetIP))
		one.imported(s.second, exportedBy(s.first, s.second), hasType(mcsv1alpha1.Headless))
		return
	}
	s.Fatalf("no two exports of the same second in %d tries", tries)
}

// atOnce exports a headless Service in the second cluster and another one in the first.
func (s *spec) atOnce() (first, second *mcsv1alpha1.ServiceExport) {
	s.Helper()
	s.create(s.first)
	s.create(s.second, headless)
	s.until(time.Now().Truncate(time.Second).Add(time.Second)) // most of a second is left then
	first, second = &mcsv1alpha1.ServiceExport{ObjectMeta: s.meta()}, &mcsv1alpha1.ServiceExport{ObjectMeta: s.meta()}
	var creating sync.WaitGroup
	errs := make([]error, 2)
	for n, object := range []client.Object{first, second} {
		creating.Go(func() { errs[n] = s.both()[n].Create(s.Context(), object) })
	}
	creating.Wait()
	s.must(errors.Join(errs...))
	return first, second
}
