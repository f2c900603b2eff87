package istio

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// host is what a DestinationRule or VirtualService is for.
type host struct {
	// namespace and name are those of a Service; without a name, of all Services of the namespace, and without both of all there are.
	namespace, name string
	// imported is true for a name below clusterset.local.
	imported bool
	// outside is a DNS name that is not one of a Service, perhaps with a wildcard, or "".
	outside string
}

// resolve is what a host means to an object of the namespace: a name without a dot is a Service there.
func resolve(name, namespace string) host {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	parts := strings.Split(name, ".")
	switch {
	case name == "*" || name == "*.local" || name == "*.cluster.local" || strings.HasPrefix(name, "*.svc."):
		return host{}
	case len(parts) == 1:
		return host{namespace: namespace, name: name}
	case len(parts) >= 3 && parts[2] == "svc" && parts[0] == "*":
		return host{namespace: parts[1]}
	case len(parts) >= 3 && parts[2] == "svc":
		return host{namespace: parts[1], name: parts[0], imported: strings.HasSuffix(name, ".svc.clusterset.local")}
	default:
		return host{outside: name}
	}
}

// valid is true if its parts are names that Kubernetes has.
func (h host) valid() bool {
	return (h.namespace == "" || len(validation.IsDNS1123Label(h.namespace)) == 0) && (h.name == "" || len(validation.IsDNS1123Label(h.name)) == 0)
}

// covers is true if h is a wildcard for that name.
func (h host) covers(name string) bool {
	suffix, wild := strings.CutPrefix(h.outside, "*")
	return wild && strings.HasSuffix(name, suffix)
}

// ref is how a TrafficPolicy names the host.
func (h host) ref() v1alpha1.TargetRef {
	switch {
	case h.name == "":
		return v1alpha1.TargetRef{}
	case h.imported:
		return v1alpha1.TargetRef{Group: v1alpha1.GroupImport, Kind: v1alpha1.KindImport, Name: h.name}
	default:
		return v1alpha1.TargetRef{Kind: v1alpha1.KindService, Name: h.name}
	}
}

// label makes a name that a Service could have of one that may have dots, and more letters.
func label(name string) string {
	const longest = 63
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, name)
	return strings.Trim(clean[:min(longest, len(clean))], "-")
}
