package v1alpha1

import "time"

// Bounds of the fields of manifests. Durations are inclusive.
const (
	// MaxPeerAddresses is how many addresses one Peer may have.
	MaxPeerAddresses = 64
	// MaxPeerLocalities is how many localities a Peer may list: each row of readiness is compared with them.
	MaxPeerLocalities = 64
	// MaxTrustBundle is the largest trust bundle, in bytes: some hundred roots.
	MaxTrustBundle = 1 << 20
	// MaxSPIFFEID is the longest SPIFFE ID, in bytes (SPIFFE ID specification, 2.3).
	MaxSPIFFEID = 2048
	// MaxServicePatterns is how many services allow and deny of a Peer's rules may have, each: every stream is compared with them.
	MaxServicePatterns = 256
	// MaxDenied is how many certificates of one Peer may be denied: each handshake is compared with them.
	MaxDenied = 64
	// DefaultQuotaServices, DefaultQuotaPorts and DefaultQuotaPods are what an absent field of quota means. Five peers that use them up take
	// the 10,000 listener ports of the chart; the cluster IPs of one, 1,500, fit a /20 twice.
	DefaultQuotaServices = 500
	DefaultQuotaPorts    = 2000
	DefaultQuotaPods     = 1000
	// MaxImportQuota bounds each field of quota: more than any cluster has ports or cluster IPs for.
	MaxImportQuota = 1_000_000
	// MaxExportTo is how many Peers the annotation export-to may name: as many as a controller learns the state of.
	MaxExportTo = 512
	// MaxExternalHosts, MaxExternalAddresses, MaxExternalPorts and MaxExternalEndpoints are how many of each an ExternalService may have: as
	// many ports and addresses as a Service, and as many endpoints as a Peer has addresses.
	MaxExternalHosts     = 16
	MaxExternalAddresses = 64
	MaxExternalPorts     = 256
	MaxExternalEndpoints = 64
	// MaxSubjectAltNames is how many names an ExternalService's spec.tls may have: each handshake compares them.
	MaxSubjectAltNames = 64
	// MaxFailover is how many From → To pairs one policy may have.
	MaxFailover = 64
	// MaxDistribute is how many entries distribute may have, and each of them how many weights.
	MaxDistribute = 64
	// MaxHashKey is the longest name of a header, cookie or parameter, in bytes, and the longest path of a cookie.
	MaxHashKey = 255
	// MaxCookieTTL is as long as browsers keep a cookie (draft-ietf-httpbis-rfc6265bis).
	MaxCookieTTL = 400 * 24 * time.Hour
	// MinWarmup is the shortest that differs from none.
	MinWarmup = time.Second
	// MaxWarmup: longer is a mistake in the unit.
	MaxWarmup = 24 * time.Hour
	// MaxAggression: more is a step.
	MaxAggression = 100
	// MaxPortSettings is how many ports portLevelSettings may have.
	MaxPortSettings = 64
	// MaxConsecutive bounds the counts of consecutive errors; more would never be reached.
	MaxConsecutive = 65535
	// MaxErrorCodes is how many statuses outlierDetectionHttpErrorCodes may have: all errors of HTTP and some more.
	MaxErrorCodes = 200
	// MinErrorCode and MaxErrorCode bound them, as Istio does.
	MinErrorCode = 100
	MaxErrorCode = 599

	// MinInterval keeps sweeps from costing more than they bring.
	MinInterval = 100 * time.Millisecond
	// MaxInterval and MaxEjectionTime: longer is a mistake in the unit.
	MaxInterval = 24 * time.Hour
	// MinEjectionTime is the shortest that differs from none.
	MinEjectionTime = time.Millisecond
	// MaxEjectionTime bounds baseEjectionTime and maxEjectionTime.
	MaxEjectionTime = 24 * time.Hour
	// DefaultBaseEjectionTime is what an absent baseEjectionTime means.
	DefaultBaseEjectionTime = 30 * time.Second
	// MinConnectTimeout is the shortest that a packet could make.
	MinConnectTimeout = time.Millisecond
	// MaxConnectTimeout is longer than any caller waits.
	MaxConnectTimeout = time.Minute

	// MaxAttempts bounds retries.attempts: each one is a request that an endpoint may execute again.
	MaxAttempts = 10
	// MinTimeout and MaxTimeout bound timeout and retries.perTryTimeout, unless they are 0.
	MinTimeout = time.Millisecond
	MaxTimeout = 24 * time.Hour
	// MinIdleTimeout: a shorter one would end connections between the requests of one caller, or of TCP at their first pause.
	// MaxTimeout bounds it, too.
	MinIdleTimeout = time.Second
	// MaxRetryOn is the longest retryOn, in bytes: all conditions and some statuses.
	MaxRetryOn = 512
	// MinRetryStatus and MaxRetryStatus bound its statuses: other answers are no failures.
	MinRetryStatus = 400
	MaxRetryStatus = 599
	// MaxMethods is how many methods may be repeated, MaxMethod how long one is, in bytes; a proxy takes no longer one for HTTP.
	MaxMethods = 16
	MaxMethod  = 32
	// MaxRetryConcurrency bounds budget.minRetryConcurrency.
	MaxRetryConcurrency = 65535
	// MaxRateLimitRules is how many rules rateLimit may have: each call is compared with all of them.
	MaxRateLimitRules = 16
	// MaxRateLimitValues is how many values a field of a rule's match may have.
	MaxRateLimitValues = 64
	// MaxMatchValue is the longest value of a header and the longest path prefix in it, in bytes.
	MaxMatchValue = 1024
	// MaxQuota bounds rateLimit's quota: one proxy serves fewer calls in a second.
	MaxQuota = 1_000_000
	// MaxInFlight bounds capacity's maxInFlightPerEndpoint, and what peers claim of it: more than an endpoint has ports for.
	MaxInFlight = 1_000_000
	// MinFillInterval and MaxFillInterval bound rateLimit's fillInterval: a shorter one is no limit, and of a longer one a restart of the
	// proxies, which fills the buckets, makes nothing that can be relied on.
	MinFillInterval = 10 * time.Millisecond
	MaxFillInterval = time.Hour
	// MinCheckInterval and MaxCheckInterval bound healthCheck's interval: more checks would be a load of their own, fewer find nothing.
	MinCheckInterval = 100 * time.Millisecond
	MaxCheckInterval = time.Hour
	// MinCheckTimeout and MaxCheckTimeout bound healthCheck's timeout.
	MinCheckTimeout = 10 * time.Millisecond
	MaxCheckTimeout = time.Minute
	// MaxCheckThreshold bounds healthCheck's thresholds.
	MaxCheckThreshold = 1000
	// MaxExpectedStatuses is how many statuses and ranges healthCheck's expectedStatuses may have; MaxErrorCode bounds them.
	MaxExpectedStatuses = 16
	// MinExpectedStatus: lower ones are no answers.
	MinExpectedStatus = 200
	// MaxHealthService is the longest name of a gRPC service, in bytes.
	MaxHealthService = 255
	// MinBackoff and MaxBackoff bound the intervals of a backoff. DefaultBackoff is what an absent baseInterval means (Envoy's).
	MinBackoff     = time.Millisecond
	MaxBackoff     = time.Minute
	DefaultBackoff = 25 * time.Millisecond
)
