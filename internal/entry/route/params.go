package route

import (
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Bounds of manifests. Those of a single object are the ones of Gateway API's CRDs, which files don't go through.
const (
	// MaxPorts is how many ports of the process listeners may use: each is a socket.
	MaxPorts = 500
	// maxListeners of a Gateway, and maxSharing of one port: each is compared with all others there.
	maxListeners = 64
	maxSharing   = 1_000
	// maxRules of a route, and maxMatches of all of its rules.
	maxRules   = 16
	maxMatches = 128
	// maxConditions is how many headers, and how many query parameters, a match may name.
	maxConditions = 16
	// maxHostnames of a route, maxFilters and maxBackends of a rule.
	maxHostnames = 16
	maxFilters   = 16
	maxBackends  = 16
	// maxEndpoints of a headless Service are called: as many as Kubernetes has in Endpoints.
	maxEndpoints = 1_000
	// maxTargets of a BackendTLSPolicy, and ConfigMaps that it names; maxAltNames is how many names it may ask for, maxRoots how many
	// certificates a ConfigMap may have, and maxAncestors how many Gateways its status takes.
	maxTargets   = 16
	maxAltNames  = 5
	maxRoots     = 500
	maxAncestors = 16
	// maxEntries is how many matches the Table has, each counted once per listener and hostname: 100,000 take about 30 MB.
	maxEntries = 100_000
	// maxPathValue and maxHeaderValue (bytes) are those of paths and headers in manifests.
	maxPathValue   = 1024
	maxHeaderValue = 4096
	// maxWeight keeps sums of weights far from overflowing.
	maxWeight = 1_000_000
	// maxRegexSize is how many instructions a regular expression may have, and maxRegexes all those of the Table, each counted once per
	// listener and hostname: each is tried on requests that nothing better matches. The worst took 90 µs per instruction for a path of
	// 8 KiB (Go 1.26, one core): 0.9 s for all of them. Usual ones have 20 to 50, and fail at their first bytes.
	maxRegexSize = 500
	maxRegexes   = 10_000
	// maxPath and maxRegexInput, in bytes, are the longest path of a request, and the longest header or query parameter that a regular
	// expression is tried on: its time grows with them.
	maxPath       = 8 << 10
	maxRegexInput = 8 << 10
	// maxProblems is how many problems the message of a condition names.
	maxProblems = 8
	// maxText (bytes) of the message of a condition; API servers take 32,768.
	maxText = 4_096
)

// maxTimeout of a route, as with the policy's.
const maxTimeout = 24 * time.Hour

// Kinds and groups.
const (
	groupGateway = gatewayv1.GroupName
	groupMCS     = "multicluster.x-k8s.io"
	kindGateway  = "Gateway"
	kindRoute    = "HTTPRoute"
	kindGRPC     = "GRPCRoute"
	kindService  = "Service"
	kindImport   = "ServiceImport"
	kindSecret   = "Secret"

	kindConfigMap = "ConfigMap"
)
