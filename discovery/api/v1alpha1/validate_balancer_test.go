package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// balancerYAML has one value to replace for each field.
const balancerYAML = `
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: reviews, namespace: default}
spec:
  targetRef: {kind: Service, name: reviews}
  loadBalancer:
    simple: ROUND_ROBIN
    localityLbSetting:
      enabled: true
      distribute:
      - {from: cn-hangzhou/*, to: {cn-hangzhou/*: 90, cn-shanghai/*: 10}}
      - {from: us-west/zone1/*, to: {us-west/zone1/*: 80, us-west/zone2: 20}}
      failover:
      - {from: cn-hangzhou, to: cn-shanghai}
      failoverPriority: [topology.kubernetes.io/region, topology.kubernetes.io/zone]
`

// hashed has a consistentHash with these fields.
func hashed(fields, want string) edit {
	return edit{"simple: ROUND_ROBIN", "consistentHash: {" + fields + "}", want}
}

// warmed has a warmup with these fields.
func warmed(fields, want string) edit {
	return edit{"simple: ROUND_ROBIN", "warmup: {" + fields + "}", want}
}

func TestValidateLoadBalancer(t *testing.T) {
	t.Parallel()
	const (
		setting = "spec.loadBalancer.localityLbSetting."
		first   = setting + "distribute[0]"
		weights = "{cn-hangzhou/*: 90, cn-shanghai/*: 10}"
		labels  = "[topology.kubernetes.io/region, topology.kubernetes.io/zone]"
	)
	var entries, to strings.Builder
	for i := range MaxDistribute + 1 {
		fmt.Fprintf(&entries, "\n      - {from: r%d, to: {s: 100}}", i)
		fmt.Fprintf(&to, "r%d: 1, ", i)
	}
	for _, e := range []edit{
		{"", "", ""},
		{"ROUND_ROBIN", "LEAST_REQUEST", ""},
		{"ROUND_ROBIN", "LEAST_CONN", ""},
		{"ROUND_ROBIN", "RANDOM", ""},
		{
			"ROUND_ROBIN", "PASSTHROUGH",
			`spec.loadBalancer.simple: Invalid value: "PASSTHROUGH": calls always go to an endpoint of the service`,
		},
		{
			"ROUND_ROBIN", "round_robin",
			`spec.loadBalancer.simple: Unsupported value: "round_robin": supported values: "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"`,
		},
		warmed("duration: 30s", ""),
		warmed("duration: 1s, minimumPercent: 0, aggression: 1.5", ""),
		warmed("minimumPercent: 20", `spec.loadBalancer.warmup.duration: Invalid value: "0s": must be between 1s and 24h0m0s`),
		warmed("duration: 25h", `spec.loadBalancer.warmup.duration: Invalid value: "25h0m0s": must be between 1s and 24h0m0s`),
		warmed("duration: 30s, minimumPercent: 101", `spec.loadBalancer.warmup.minimumPercent: Invalid value: 101: must be between 0 and 100`),
		warmed("duration: 30s, aggression: 0.9", `spec.loadBalancer.warmup.aggression: Invalid value: 0.9: must be between 1 and 100`),
		warmed("duration: 30s, aggression: 101", `spec.loadBalancer.warmup.aggression: Invalid value: 101: must be between 1 and 100`),
		{"simple: ROUND_ROBIN", "warmupDurationSecs: 30s", ""},
		{
			"simple: ROUND_ROBIN", "warmupDurationSecs: 10ms",
			`spec.loadBalancer.warmupDurationSecs: Invalid value: "10ms": must be between 1s and 24h0m0s`,
		},
		{
			"simple: ROUND_ROBIN", "warmupDurationSecs: 30s\n    warmup: {duration: 30s}",
			`spec.loadBalancer.warmupDurationSecs: Forbidden: cannot be combined with warmup`,
		},
		hashed("httpHeaderName: x-user", ""),
		hashed("httpHeaderName: 'x user'", `spec.loadBalancer.consistentHash.httpHeaderName: Invalid value: "x user": must be letters, digits`),
		hashed("httpHeaderName: "+strings.Repeat("x", MaxHashKey+1), `spec.loadBalancer.consistentHash.httpHeaderName: Too long: may not be more`),
		hashed("httpQueryParameterName: user", ""),
		hashed(`httpQueryParameterName: "\0"`, `spec.loadBalancer.consistentHash.httpQueryParameterName: Invalid value: "\x00": must be text`),
		hashed("useSourceIp: true", ""),
		hashed("useSourceIp: false", `spec.loadBalancer.consistentHash: Required value: one of httpHeaderName, httpCookie`),
		hashed("useSourceIp: true, httpHeaderName: x", `spec.loadBalancer.consistentHash: Forbidden: must have only one of httpHeaderName`),
		hashed("httpCookie: {name: user}", ""),
		hashed("httpCookie: {name: user, path: /shop, ttl: 0s}", ""),
		hashed("httpCookie: {name: user, ttl: 9600h}", ""),
		hashed("httpCookie: {path: /shop}", `spec.loadBalancer.consistentHash.httpCookie.name: Required value`),
		hashed("httpCookie: {name: a=b}", `spec.loadBalancer.consistentHash.httpCookie.name: Invalid value: "a=b": must be letters`),
		hashed("httpCookie: {name: a, path: b}", `spec.loadBalancer.consistentHash.httpCookie.path: Invalid value: "b": must begin with /`),
		hashed("httpCookie: {name: a, path: /b;c}", `spec.loadBalancer.consistentHash.httpCookie.path: Invalid value: "/b;c": must begin`),
		hashed("httpCookie: {name: a, ttl: 9601h}",
			`spec.loadBalancer.consistentHash.httpCookie.ttl: Invalid value: "9601h0m0s": must be between 0s and 9600h0m0s`),
		hashed("httpCookie: {name: a, ttl: -1s}", `spec.loadBalancer.consistentHash.httpCookie.ttl: Invalid value: "-1s": must be`),
		{
			"simple: ROUND_ROBIN", "simple: RANDOM\n    consistentHash: {useSourceIp: true}",
			`spec.loadBalancer.simple: Forbidden: cannot be combined with consistentHash`,
		},
		{"enabled: true", "enabled: false", ""},
		{weights, "{'*': 100}", ""},
		{weights, "{cn-hangzhou/a: 34, cn-hangzhou/b/*: 33, cn-shanghai: 33}", ""},
		{weights, "{cn-hangzhou/*: 90, cn-shanghai/*: 11}", first + `.to: Invalid value: 101: the weights must add up to 100`},
		{weights, "{cn-hangzhou/*: 90}", first + `.to: Invalid value: 90: the weights must add up to 100`},
		{weights, "{cn-hangzhou/*: 100, cn-shanghai/*: 0}", first + `.to[cn-shanghai/*]: Invalid value: 0: must be between 1 and 100`},
		{weights, "{cn-hangzhou/*: 101}", first + `.to[cn-hangzhou/*]: Invalid value: 101: must be between 1 and 100`},
		{weights, "{}", first + `.to: Required value: localities with weights`},
		{weights, "{" + to.String() + "}", first + `.to: Too many: 65: must have at most 64 items`},
		{
			weights, "{cn-hangzhou/*: 50, cn-hangzhou/a: 50}",
			first + `.to[cn-hangzhou/a]: Invalid value: "cn-hangzhou/a": overlaps with cn-hangzhou/*`,
		},
		{weights, "{'*': 50, cn-hangzhou/a: 50}", first + `.to[cn-hangzhou/a]: Invalid value: "cn-hangzhou/a": overlaps with *`},
		{weights, "{cn: 50, cn/*: 50}", first + `.to[cn/*]: Invalid value: "cn/*": overlaps with cn/*`},
		{weights, "{'': 100}", first + `.to[]: Invalid value: "": must be a locality, such as cn-shanghai/*`},
		{weights, "{/a: 100}", first + `.to[/a]: Invalid value: "/a": must be REGION, REGION/*, REGION/ZONE, REGION/ZONE/* or *, with no part empty`},
		{weights, "{cn/: 100}", first + `.to[cn/]: Invalid value: "cn/": must be REGION`},
		{weights, "{'*/a': 100}", first + `.to[*/a]: Invalid value: "*/a": * stands for all that follows, at the end only`},
		{weights, "{cn-*: 100}", first + `.to[cn-*]: Invalid value: "cn-*": * stands for all that follows, at the end only`},
		{weights, "{cn/*/*: 100}", first + `.to[cn/*/*]: Invalid value: "cn/*/*": * stands for all that follows, at the end only`},
		{weights, "{cn/a/b: 100}", first + `.to[cn/a/b]: Invalid value: "cn/a/b": must be REGION/ZONE at most: sub-zones are not known here`},
		{weights, "{'c n': 100}", first + `.to[c n]: Invalid value: "c n": a valid label`},
		{"from: cn-hangzhou/*", "from: ''", first + `.from: Invalid value: "": must be a locality`},
		{
			"from: cn-hangzhou/*", "from: us-west/*",
			setting + `distribute[1].from: Invalid value: "us-west/zone1/*": overlaps with us-west/*`,
		},
		{"distribute:", "distribute:" + entries.String(), setting + `distribute: Too many: 67: must have at most 64 items`},
		{labels, "[topology.istio.io/cluster]", ""},
		{labels, "[]", ""},
		{
			labels, "[version]",
			setting + `failoverPriority[0]: Unsupported value: "version": supported values: "topology.kubernetes.io/region"`,
		},
		{
			labels, "[topology.kubernetes.io/zone, topology.kubernetes.io/zone]",
			setting + `failoverPriority[1]: Duplicate value: "topology.kubernetes.io/zone"`,
		},
		{labels, "[a, b, c, d]", setting + `failoverPriority: Too many: 4: must have at most 3 items`},
	} {
		p := new(TrafficPolicy)
		check(t, balancerYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}

func TestLocalityPattern(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"*": "cn/a cn/b us/a /", "cn": "cn/a cn/b", "cn/*": "cn/a cn/b", "cn/a": "cn/a", "cn/a/*": "cn/a", "us/b": "",
	} {
		p, err := ParseLocality(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, at := range []LocalityPattern{{"cn", "a"}, {"cn", "b"}, {"us", "a"}, {}} {
			if p.Matches(at.Region, at.Zone) {
				got = append(got, at.Region+"/"+at.Zone)
			}
		}
		if again, err := ParseLocality(p.String()); strings.Join(got, " ") != want || err != nil || again != p {
			t.Errorf("%s (%v, %v) matches %v, want %s", text, again, err, got, want)
		}
	}
}
