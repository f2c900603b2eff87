package mcs

import (
	"fmt"
	"maps"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/install"
)

// slicesOfOthers: a stolen token of the controller cannot send a Service's traffic elsewhere: with it, the API server accepts
// only the slices beside ServiceImports.
func slicesOfOthers(s *spec) {
	config, err := s.first.RESTConfig()
	s.must(err)
	config.Impersonate.UserName = "system:serviceaccount:" + install.Namespace + ":eastway-controller"
	controller, err := client.New(config, client.Options{Scheme: s.first.Scheme()})
	s.must(err)

	own := map[string]string{
		discoveryv1.LabelManagedBy: v1alpha1.ManagedBy, mcsv1beta1.LabelServiceName: s.service, mcsv1beta1.LabelSourceCluster: "elsewhere",
	}
	slice := func(more map[string]string) *discoveryv1.EndpointSlice {
		labels := maps.Clone(own)
		maps.Copy(labels, more)
		return &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: s.namespace, Name: s.service, Labels: labels},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{}, Ports: []discoveryv1.EndpointPort{},
		}
	}
	others := slice(map[string]string{discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"})
	others.Name += "-others"
	s.must(s.first.Create(s.Context(), others))
	s.Cleanup(func() { _ = s.first.Delete(s.Context(), others) }) // the namespace goes too
	taken := others.DeepCopy()
	taken.Labels = own

	dry := client.NewDryRunClient(controller)
	for what, write := range map[string]func() error{
		"create one without its label": func() error {
			return dry.Create(s.Context(), slice(map[string]string{discoveryv1.LabelManagedBy: "someone"}))
		},
		"create one of a Service": func() error {
			return dry.Create(s.Context(), slice(map[string]string{discoveryv1.LabelServiceName: s.service}))
		},
		"take over another's": func() error { return dry.Update(s.Context(), taken) },
		"change another's":    func() error { return dry.Update(s.Context(), others) },
		"delete another's":    func() error { return dry.Delete(s.Context(), others) },
	} {
		// A new policy is in force after some seconds; this one is as old as the installation.
		if err := write(); !apierrors.IsForbidden(err) || !strings.Contains(fmt.Sprint(err), "Eastway's controller may only write") {
			s.Errorf("%s: %v", what, err)
		}
	}
	s.must(dry.Create(s.Context(), slice(nil)))
}
