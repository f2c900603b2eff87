package v1alpha1

import (
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestValidatePool(t *testing.T) {
	t.Parallel()
	pool := func(settings, want string) edit {
		return edit{"connectionPool: {tcp: {connectTimeout: 1s}}", "connectionPool: {http: " + settings + "}", want}
	}
	for _, e := range []edit{
		pool("{}", ""),
		{"connectTimeout: 1s", "maxConnections: 0", ""},
		{"connectTimeout: 1s", "maxConnections: -1", `spec.connectionPool.tcp.maxConnections: Invalid value: -1: must be between 0 and 2147483647`},
		{"connectTimeout: 1s", "idleTimeout: 24h", ""},
		{"connectTimeout: 1s", "idleTimeout: 0s", `spec.connectionPool.tcp.idleTimeout: Invalid value: "0s": must be between 1s and 24h0m0s`},
		pool("{http1MaxPendingRequests: 1, http2MaxRequests: 0, maxRequestsPerConnection: 1, maxRetries: 2147483647, idleTimeout: 24h}", ""),
		pool("{http2MaxRequests: -1}",
			`spec.connectionPool.http.http2MaxRequests: Invalid value: -1: must be between 0 and 2147483647`),
		pool("{http1MaxPendingRequests: -1}",
			`spec.connectionPool.http.http1MaxPendingRequests: Invalid value: -1: must be between 0 and 2147483647`),
		pool("{maxRequestsPerConnection: -1}",
			`spec.connectionPool.http.maxRequestsPerConnection: Invalid value: -1: must be between 0 and 2147483647`),
		pool("{maxRetries: -1}", `spec.connectionPool.http.maxRetries: Invalid value: -1: must be between 0 and 2147483647`),
		pool("{idleTimeout: 999ms}", `spec.connectionPool.http.idleTimeout: Invalid value: "999ms": must be between 1s and 24h0m0s`),
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}
