package mcs

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

const (
	// maxServiceName is a DNS label, in bytes.
	maxServiceName = 63
	// hashLength is so many base32 digits of SHA-256: 60 bits, where 20,000 objects collide with a chance of 10⁻¹⁰.
	hashLength = 12
)

// derivedName is what a derived Service is called: the name of what it stands for, as far as there is room, its kind,
// and a hash of everything that makes it unique. It begins with a letter, as Services must.
func derivedName(kind string, service discovery.ServiceName, pod discovery.PodRef) string {
	return hashedName("ew-"+service.Name, kind, service.Namespace, service.Name, pod.Cluster, pod.Hostname)
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
	return hashedName(service.Name, "imported", append([]string{service.Name}, parts...)...)
}

func hashedName(prefix, kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + strings.Join(parts, "\x00")))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:hashLength]
	tail := "-" + kind + "-" + hash
	if most := maxServiceName - len(tail); len(prefix) > most {
		prefix = prefix[:most]
	}
	return strings.TrimRight(prefix, "-.") + tail
}

func serviceName(n types.NamespacedName) discovery.ServiceName {
	return discovery.ServiceName{Namespace: n.Namespace, Name: n.Name}
}

func objectKey(n discovery.ServiceName) types.NamespacedName {
	return types.NamespacedName{Namespace: n.Namespace, Name: n.Name}
}
