package mcs

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/install"
)

// conditions of an export whose Service comes late, and goes again.
func conditions(s *spec) {
	s.export(s.first)
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionFalse, string(mcsv1alpha1.ServiceExportReasonNoService))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionReady, metav1.ConditionFalse, "")
	s.neverImported()
	service := s.create(s.first)
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionTrue, string(mcsv1alpha1.ServiceExportReasonValid))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionReady, metav1.ConditionTrue, string(mcsv1alpha1.ServiceExportReasonExported))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionConflict, metav1.ConditionFalse,
		string(mcsv1alpha1.ServiceExportReasonNoConflicts))
	s.everywhere(exportedBy(s.first))
	s.must(s.first.Delete(s.Context(), service))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionFalse, string(mcsv1alpha1.ServiceExportReasonNoService))
	for _, c := range s.both() {
		s.gone(c)
	}
}

// namespaceSameness: a cluster without the namespace imports nothing, until it has one.
func namespaceSameness(s *spec) {
	namespace := func() *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-late"}}
	}
	late := s.spec(s.T)
	w := &world{Installer: s.Installer, lab: s.lab, namespace: namespace().Name, first: s.first, second: s.second}
	late.world = w
	s.must(s.first.Create(s.Context(), namespace()))
	late.create(s.first)
	late.export(s.first)
	late.imported(s.first, exportedBy(s.first))
	s.create(s.first) // another one, that shows when the second cluster has heard of both
	s.export(s.first)
	s.imported(s.second, exportedBy(s.first))
	s.must(absent(s.second.Get(s.Context(), client.ObjectKey{Name: w.namespace}, &corev1.Namespace{})))
	s.must(s.second.Create(s.Context(), namespace()))
	late.imported(s.second, exportedBy(s.first))
	for _, c := range s.both() {
		s.must(c.Delete(s.Context(), namespace()))
	}
}

// endpointSlices lie beside the import in each cluster, and go with it.
func endpointSlices(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.awaitSlices(s.first, s.first, replicas)
	s.awaitSlices(s.second, s.first, 1) // the clusterset IP, for all of them
	s.unexport(s.first)
	for _, c := range s.both() {
		s.await("no EndpointSlice in "+c.Name, func(ctx context.Context) error {
			found, err := s.slices(ctx, c)
			if err == nil && len(found) > 0 {
				err = errors.New(found[0].Name + " is there")
			}
			return err
		})
	}
}

// awaitSlices in a cluster, all of them with endpoints of one source: so many.
func (s *spec) awaitSlices(c, source *cluster, endpoints int) (found []discoveryv1.Endpoint) {
	s.Helper()
	s.await("the EndpointSlices of "+s.service+" in "+c.Name, func(ctx context.Context) error {
		all, err := s.slices(ctx, c)
		if err != nil {
			return err
		}
		found = nil
		for i := range all {
			err := errors.Join(same("address type", all[i].AddressType, discoveryv1.AddressTypeIPv4),
				same("source cluster", all[i].Labels[mcsv1alpha1.LabelSourceCluster], source.Name),
				same("managed by", all[i].Labels[discoveryv1.LabelManagedBy], v1alpha1.ManagedBy))
			if err != nil {
				return fmt.Errorf("%s: %w", all[i].Name, err)
			}
			for _, e := range all[i].Endpoints {
				if e.Conditions.Ready != nil && !*e.Conditions.Ready {
					return fmt.Errorf("%s: %q is not ready", all[i].Name, e.Addresses)
				}
				found = append(found, e)
			}
		}
		return same("number of endpoints", len(found), endpoints)
	})
	return found
}

// nothingLeft: with the last export goes what Eastway made for it.
func nothingLeft(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.everywhere(hasIPs)
	derived := func(ctx context.Context, c *cluster) (int, error) {
		var list corev1.ServiceList
		err := c.List(ctx, &list, client.InNamespace(install.Namespace),
			client.MatchingLabels{v1alpha1.ServiceNamespaceLabel: s.namespace, v1alpha1.ServiceNameLabel: s.service})
		return len(list.Items), err
	}
	for _, c := range s.both() {
		n, err := derived(s.Context(), c)
		s.must(errors.Join(err, same("derived Services", n, 1)))
	}
	s.unexport(s.first)
	for _, c := range s.both() {
		s.gone(c)
		s.await("no derived Service in "+c.Name, func(ctx context.Context) error {
			n, err := derived(ctx, c)
			return errors.Join(err, same("derived Services", n, 0))
		})
	}
}
