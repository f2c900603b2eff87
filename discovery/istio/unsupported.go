package istio

import (
	"regexp"
	"strings"
)

// verdict is what becomes of a field that no type here has.
type verdict struct {
	effect  Effect
	message string
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// general is a path without the numbers of list entries, and that of a port's setting as one of the policy itself.
func general(path string) string {
	return strings.Replace(index.ReplaceAllString(path, ""), ".portLevelSettings.", ".", 1)
}

func unsupportedOf(kind string, unknown []Unknown) []Finding {
	var f findings
	table := unsupported()[kind]
	for _, u := range unknown {
		v, known := table[general(u.Field)]
		switch {
		case known:
			f.add(v.effect, u.Field, "%s", v.message)
		case u.Near != "":
			f.add(Refused, u.Field, "unknown field, perhaps %s is meant", u.Near)
		case kind == KindRule && strings.Count(u.Field, ".") > 1:
			f.add(Changed, u.Field, "is no field of Istio's API that Eastway knows: it has no effect, and the rest is used")
		case strings.HasPrefix(u.Field, "metadata."):
			f.add(Ignored, u.Field, "is no field of Kubernetes' API that Eastway knows")
		default:
			f.add(Refused, u.Field, "is no field of Istio's API that Eastway knows: remove it, or correct its name")
		}
	}
	return f
}

// unsupported has all fields of Istio's messages that the types here lack, and nothing else: the tests compare it with Istio's API.
func unsupported() map[string]map[string]verdict {
	return map[string]map[string]verdict{KindRule: unsupportedRule(), KindEntry: unsupportedEntry(), KindRoute: unsupportedRoute()}
}

func unsupportedRule() map[string]verdict {
	const (
		version   = "requests always keep the client's version of HTTP"
		keepalive = "connections to hosts that vanished end after a minute in any case"
		table     = "the hash needs no table"
		zones     = "calls always stay in the zone while it has healthy endpoints: use localityLbSetting to change that"
	)
	return map[string]verdict{
		"spec.subsets": {Changed, "there are no subsets, and their policies are not used: make a Service, with a DestinationRule, for each"},
		"spec.workloadSelector": {
			Refused, "a policy is for all callers, not for some workloads: remove it, or leave the rule to Istio",
		},

		"spec.trafficPolicy.tunnel": {Refused, "calls do not pass a proxy that takes CONNECT: remove it, or leave the rule to Istio"},
		"spec.trafficPolicy.proxyProtocol": {
			Changed, "endpoints get no PROXY protocol by a policy: annotate the Service with eastway.dev/proxy-protocol: v2",
		},
		"spec.trafficPolicy.retryBudget.budgetInterval": {Changed, "the budget is a share of the requests of the last 10s"},

		"spec.trafficPolicy.tls.insecureSkipVerify":   {Changed, "endpoints are always verified: name their roots in caCertificates"},
		"spec.trafficPolicy.tls.caCertCredentialName": {Changed, "is not read: set caCertificates to a file"},
		"spec.trafficPolicy.tls.caCrl":                {Changed, "revocation lists are not read"},

		"spec.trafficPolicy.connectionPool.tcp.tcpKeepalive": {Ignored, keepalive},
		"spec.trafficPolicy.connectionPool.tcp.maxConnectionDuration": {
			Changed, "connections have no greatest age: set idleTimeout, or bound it where they are made",
		},
		"spec.trafficPolicy.connectionPool.http.h2UpgradePolicy":      {Ignored, version},
		"spec.trafficPolicy.connectionPool.http.useClientProtocol":    {Ignored, version},
		"spec.trafficPolicy.connectionPool.http.http2KeepAlive":       {Ignored, keepalive},
		"spec.trafficPolicy.connectionPool.http.maxConcurrentStreams": {Changed, "is not bounded by connection: set http2MaxRequests"},

		"spec.trafficPolicy.loadBalancer.backendUtilization": {
			Changed, "endpoints' own reports of load are not read: calls go by loadBalancer.simple, LEAST_REQUEST without it",
		},
		"spec.trafficPolicy.loadBalancer.zoneAwareLbSetting":             {Changed, zones},
		"spec.trafficPolicy.loadBalancer.consistentHash.ringHash":        {Ignored, table},
		"spec.trafficPolicy.loadBalancer.consistentHash.maglev":          {Ignored, table},
		"spec.trafficPolicy.loadBalancer.consistentHash.minimumRingSize": {Ignored, table},
		"spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes": {
			Changed, "a cookie that Eastway sets has no other attributes than path, Max-Age and HttpOnly",
		},
	}
}

func unsupportedEntry() map[string]verdict {
	return map[string]verdict{
		"spec.workloadSelector":         {Refused, "endpoints are not found by labels: name them in endpoints, or make a Service of it"},
		"spec.endpoints.labels":         {Ignored, "there are no subsets that they would choose for"},
		"spec.endpoints.network":        {Changed, "the endpoint is called at its address, through no gateway of its network"},
		"spec.endpoints.serviceAccount": {Ignored, "endpoints outside have no identity in the mesh"},
	}
}

func unsupportedRoute() map[string]verdict {
	const headers = "headers are passed on as they are: change them in the application"
	return map[string]verdict{
		"spec.http.redirect":         {Refused, "requests are not redirected: remove it, or leave the host to a gateway"},
		"spec.http.directResponse":   {Refused, "requests always go to an endpoint: remove it, or leave the host to a gateway"},
		"spec.http.delegate":         {Refused, "routes are not taken from other VirtualServices: write them here"},
		"spec.http.rewrite":          {Refused, "requests keep their path and host: remove it, or leave the host to a gateway"},
		"spec.http.fault":            {Changed, "no faults are injected"},
		"spec.http.mirror":           {Changed, "requests are not mirrored"},
		"spec.http.mirrorPercent":    {Changed, "requests are not mirrored"},
		"spec.http.mirrorPercentage": {Changed, "requests are not mirrored"},
		"spec.http.mirrors":          {Changed, "requests are not mirrored"},
		"spec.http.corsPolicy":       {Changed, "preflight requests go to the application, which has to answer them"},
		"spec.http.headers":          {Changed, headers},
		"spec.http.route.headers":    {Changed, headers},
		"spec.http.retries.retryRemoteLocalities": {
			Ignored, "retries may always leave the locality",
		},
		"spec.http.retries.retryIgnorePreviousHosts": {Ignored, "retries prefer endpoints that were not tried"},
	}
}
