package translate

import (
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Instead is what to do about a field that an object does not have, as the end of a message: for fields of Istio and of the Gateway API
// that a TrafficPolicy is likely to have been made of. It is empty for others of other kinds.
func Instead(object any, field string) string {
	switch object.(type) {
	case *v1alpha1.TrafficPolicy:
	case *v1alpha1.ExternalService:
		return insteadOfEntry(field)
	default:
		return ""
	}
	for _, known := range []struct{ suffix, instead string }{
		{".host", "targetRef names the Service"},
		{".trafficPolicy", "its fields belong directly below spec"},
		{".targetRefs", "targetRef names one Service: write a policy for each"},
		{".subsets", "there are no subsets: make a Service for each, with a policy of its own"},
		{".exportTo", "a policy is for all callers of its cluster: remove it"},
		{".workloadSelector", "a policy is for all callers of its cluster: remove it"},
		{".tls", "tunnels between clusters always use mutual TLS, and inside a cluster the caller's bytes are passed on: remove it"},
		{".tunnel", "calls to other clusters take Eastway's tunnels: remove it"},
		{".proxyProtocol", "there is no PROXY protocol here: remove it"},
		{".tcpKeepalive", "connections to hosts that vanished end after a minute in any case: remove it"},
		{".maxConnectionDuration", "set idleTimeout, or bound the life of connections where they are made: docs/ingress.md"},
		{".h2UpgradePolicy", "requests always keep the client's version of HTTP: remove it"},
		{".useClientProtocol", "requests always keep the client's version of HTTP: remove it"},
		{".ringHash", "the hash needs no table: remove it"},
		{".maglev", "the hash needs no table: remove it"},
		{".minimumRingSize", "the hash needs no table: remove it"},
		{".numRetries", "set attempts"},
		{".retryRemoteLocalities", "retries may always leave the locality; scope bounds that: remove it"},
		{".retryIgnorePreviousHosts", "retries prefer endpoints that were not tried: remove it"},
	} {
		if strings.HasSuffix(field, known.suffix) {
			return "; " + known.instead
		}
	}
	return "; docs/policy.md lists the fields"
}

// insteadOfEntry is what to do about a field of Istio's ServiceEntry that an ExternalService does not have.
func insteadOfEntry(field string) string {
	for _, known := range []struct{ suffix, instead string }{
		{".location", "calls to what is outside take no tunnel: remove it"},
		{".exportTo", "a ServiceExport of the same name exports it to peers: remove it"},
		{".workloadSelector", "name the endpoints"},
		{".subjectAltNames", "it belongs into spec.tls"},
		{".insecureSkipVerify", "an endpoint has to prove what it is: name its roots in caCertificates, its names in subjectAltNames"},
		{".caCrl", "revocation lists are not read: remove it"},
		{".weight", "all endpoints of a locality have the same: remove it"},
		{".network", "remove it"},
		{".labels", "remove it"},
		{".serviceAccount", "remove it"},
	} {
		if strings.HasSuffix(field, known.suffix) {
			return "; " + known.instead
		}
	}
	return "; docs/external.md lists the fields"
}
