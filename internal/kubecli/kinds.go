package kubecli

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// kinds are those that commands use. The mapper is fixed: discovery would cost every command a round trip, and the API server's
// response shows a kind that it lacks.
func kinds() (*runtime.Scheme, meta.RESTMapper, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, discoveryv1.AddToScheme, appsv1.AddToScheme, authorizationv1.AddToScheme, coordinationv1.AddToScheme,
		networkingv1.AddToScheme, v1alpha1.AddToScheme, mcsv1alpha1.Install, mcsv1beta1.Install,
	} {
		if err := add(scheme); err != nil {
			return nil, nil, fmt.Errorf("register kinds: %w", err)
		}
	}
	eastway, err := schema.ParseGroupVersion(v1alpha1.GroupVersion)
	if err != nil {
		return nil, nil, fmt.Errorf("register kinds: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	core, apps := corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion
	older, newer := mcsv1alpha1.SchemeGroupVersion, mcsv1beta1.SchemeGroupVersion
	for scope, list := range map[meta.RESTScope][]schema.GroupVersionKind{
		meta.RESTScopeRoot: {
			eastway.WithKind("Peer"), core.WithKind("Namespace"), core.WithKind("Node"),
			authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"),
		},
		meta.RESTScopeNamespace: {
			core.WithKind("Pod"), core.WithKind("Service"), core.WithKind("ConfigMap"), core.WithKind("Secret"),
			core.WithKind("ServiceAccount"),
			core.WithKind("Event"), eastway.WithKind("TrafficPolicy"), eastway.WithKind("ExternalService"),
			apps.WithKind("Deployment"), apps.WithKind("DaemonSet"), discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"),
			coordinationv1.SchemeGroupVersion.WithKind("Lease"), networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),
			older.WithKind("ServiceExport"), newer.WithKind("ServiceExport"),
			older.WithKind("ServiceImport"), newer.WithKind("ServiceImport"),
		},
	} {
		for _, kind := range list {
			mapper.Add(kind, scope)
		}
	}
	return scheme, mapper, nil
}

// Scheme has the kinds that commands use.
func Scheme() (*runtime.Scheme, error) {
	scheme, _, err := kinds()
	return scheme, err
}
