package mcs

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/names"
)

// derivedName is what a derived Service is called: the name of what it stands for, as far as there is room, its kind,
// and a hash of everything that makes it unique. It begins with a letter, as Services must.
func derivedName(kind string, service discovery.ServiceName, pod discovery.PodRef) string {
	return names.Hashed("ew-"+service.Name, kind, service.Namespace, service.Name, pod.Cluster, pod.Hostname)
}

// importService is the derived Service that backs an import.
func importService(service discovery.ServiceName) string {
	return derivedName(v1alpha1.DerivedImport, service, discovery.PodRef{})
}

// externalService is the derived Service at which callers reach an ExternalService.
func externalService(service discovery.ServiceName) string {
	return derivedName(v1alpha1.DerivedExternal, service, discovery.PodRef{})
}

// sliceName is what an EndpointSlice beside an import is called; parts are unique within the service.
func sliceName(service discovery.ServiceName, parts ...string) string {
	return names.Hashed(service.Name, "imported", append([]string{service.Name}, parts...)...)
}

func serviceName(n types.NamespacedName) discovery.ServiceName {
	return discovery.ServiceName{Namespace: n.Namespace, Name: n.Name}
}

func objectKey(n discovery.ServiceName) types.NamespacedName {
	return types.NamespacedName{Namespace: n.Namespace, Name: n.Name}
}
