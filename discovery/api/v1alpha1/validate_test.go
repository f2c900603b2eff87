package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policyYAML = `
apiVersion: eastway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: mockb, namespace: demo}
spec:
  targetRef: {kind: Service, name: mockb}
  outlierDetection:
    splitExternalLocalOriginErrors: true
    consecutiveLocalOriginFailures: 1
    consecutive5xxErrors: 1
    interval: 30s
    baseEjectionTime: 5m
    maxEjectionPercent: 100
  loadBalancer:
    localityLbSetting:
      failover:
      - {from: cn-shanghai, to: cn-hangzhou}
      - {from: cn-hangzhou, to: cn-shanghai}
  connectionPool: {tcp: {connectTimeout: 1s}}
`

const peerYAML = `
apiVersion: eastway.dev/v1alpha1
kind: Peer
metadata: {name: ap-northeast-1}
spec:
  spiffeID: spiffe://ap/eastway/cluster/ap-northeast-1
  trustBundle: PEM
  addresses: ["proxy.example.com:7443", "[2001:db8::1]:7443", "192.0.2.1:1"]
`

// edit replaces old by new in the manifest; both empty leave it as it is.
type edit struct{ old, new, want string }

// with adds a field to the policy's outlierDetection.
func with(line, want string) edit { return edit{"interval: 30s", "interval: 30s\n    " + line, want} }

func TestValidateTrafficPolicy(t *testing.T) {
	t.Parallel()
	pairs := strings.Builder{}
	for i := range MaxFailover + 1 {
		fmt.Fprintf(&pairs, "\n      - {from: r%d, to: s}", i)
	}
	for _, e := range []edit{
		{"", "", ""},
		{
			"maxEjectionPercent: 100", "maxEjectionPercent: 130",
			`spec.outlierDetection.maxEjectionPercent: Invalid value: 130: must be between 0 and 100`,
		},
		{
			"maxEjectionPercent: 100", "maxEjectionPercent: -1",
			`spec.outlierDetection.maxEjectionPercent: Invalid value: -1: must be between 0 and 100`,
		},
		{"maxEjectionPercent: 100", "maxEjectionPercent: 0", ""},
		{
			"consecutive5xxErrors: 1", "consecutive5xxErrors: 65536",
			`spec.outlierDetection.consecutive5xxErrors: Invalid value: 65536: must be between 0 and 65535`,
		},
		{
			"Failures: 1", "Failures: 70000",
			`spec.outlierDetection.consecutiveLocalOriginFailures: Invalid value: 70000: must be between 0 and 65535`,
		},
		{
			"interval: 30s", "interval: 99ms",
			`spec.outlierDetection.interval: Invalid value: "99ms": must be between 100ms and 24h0m0s`,
		},
		{"interval: 30s", "interval: 100ms", ""},
		{
			"baseEjectionTime: 5m", "baseEjectionTime: 0s",
			`spec.outlierDetection.baseEjectionTime: Invalid value: "0s": must be between 1ms and 24h0m0s`,
		},
		{
			"baseEjectionTime: 5m", "baseEjectionTime: 25h",
			`spec.outlierDetection.baseEjectionTime: Invalid value: "25h0m0s": must be between 1ms and 24h0m0s`,
		},
		with("consecutiveGatewayErrors: 65535", ""),
		with("consecutiveGatewayErrors: 65536",
			`spec.outlierDetection.consecutiveGatewayErrors: Invalid value: 65536: must be between 0 and 65535`),
		with("consecutiveErrors: 7", ""),
		with("consecutiveErrors: 65536", `spec.outlierDetection.consecutiveErrors: Invalid value: 65536: must be between 0 and 65535`),
		with("failurePercentageThreshold: 100", ""),
		with("failurePercentageThreshold: 101",
			`spec.outlierDetection.failurePercentageThreshold: Invalid value: 101: must be between 0 and 100`),
		with("minHealthPercent: 100", ""),
		with("minHealthPercent: 101", `spec.outlierDetection.minHealthPercent: Invalid value: 101: must be between 0 and 100`),
		with("minHealthPercent: -1", `spec.outlierDetection.minHealthPercent: Invalid value: -1: must be between 0 and 100`),
		with("maxEjectionTime: 5m", ""),
		with("maxEjectionTime: 25h",
			`spec.outlierDetection.maxEjectionTime: Invalid value: "25h0m0s": must be between 1ms and 24h0m0s`),
		with("maxEjectionTime: 299s",
			`spec.outlierDetection.maxEjectionTime: Invalid value: "4m59s": must be at least baseEjectionTime, 5m0s`),
		{"baseEjectionTime: 5m", "maxEjectionTime: 30s", ""},
		{
			"baseEjectionTime: 5m", "maxEjectionTime: 29s",
			`spec.outlierDetection.maxEjectionTime: Invalid value: "29s": must be at least baseEjectionTime, 30s`,
		},
		with("outlierDetectionHttpErrorCodes: [100, 429, 599]", ""),
		with("outlierDetectionHttpErrorCodes: [429, 99, 600]",
			`spec.outlierDetection.outlierDetectionHttpErrorCodes[1]: Invalid value: 99: must be between 100 and 599
spec.outlierDetection.outlierDetectionHttpErrorCodes[2]: Invalid value: 600: must be between 100 and 599`),
		with("outlierDetectionHttpErrorCodes: [100"+strings.Repeat(", 100", MaxErrorCodes)+"]",
			`spec.outlierDetection.outlierDetectionHttpErrorCodes: Too many: 201: must have at most 200 items`),
		{
			"connectTimeout: 1s", "connectTimeout: 61s",
			`spec.connectionPool.tcp.connectTimeout: Invalid value: "1m1s": must be between 1ms and 1m0s`,
		},
		{"{kind: Service, name: mockb}", "{kind: Service, name: mockb, group: core}", ""},
		{
			"{kind: Service, name: mockb}", "{kind: Service, name: mockb, group: apps}",
			`spec.targetRef.group: Unsupported value: "apps": supported values: "", "core"`,
		},
		{
			"{kind: Service, name: mockb}", "{kind: Pod, name: mockb}",
			`spec.targetRef.kind: Unsupported value: "Pod": supported values: "Service", "ServiceImport"`,
		},
		{
			"{kind: Service, name: mockb}", "{name: mockb}",
			`spec.targetRef.kind: Required value: Service, ServiceImport, ExternalService, Gateway or HTTPRoute`,
		},
		{"{kind: Service, name: mockb}", "{kind: ServiceImport, name: mockb, group: multicluster.x-k8s.io}", ""},
		{
			"{kind: Service, name: mockb}", "{kind: ServiceImport, name: mockb}",
			`spec.targetRef.group: Unsupported value: "": supported values: "multicluster.x-k8s.io"`,
		},
		{
			"{kind: Service, name: mockb}", "{kind: Service, name: mockb, group: multicluster.x-k8s.io}",
			`spec.targetRef.group: Unsupported value: "multicluster.x-k8s.io": supported values: "", "core"`,
		},
		{"  targetRef: {kind: Service, name: mockb}\n", "", ""},
		{"{kind: Service, name: mockb}", "{}", ""},
		{"{kind: Service, name: mockb}", "{kind: Service}", `spec.targetRef.name: Required value`},
		{"name: mockb}\n", "name: MOCKB}\n", `spec.targetRef.name: Invalid value: "MOCKB": a lowercase RFC 1123 label`},
		{"{name: mockb,", "{name: '-',", `metadata.name: Invalid value: "-": a lowercase RFC 1123 subdomain`},
		{
			"from: cn-shanghai", "from: cn-hangzhou",
			`spec.loadBalancer.localityLbSetting.failover[0].to: Invalid value: "cn-hangzhou": must be another region than from
spec.loadBalancer.localityLbSetting.failover[1].from: Duplicate value: "cn-hangzhou"`,
		},
		{"from: cn-shanghai,", "", `spec.loadBalancer.localityLbSetting.failover[0].from: Required value: a region`},
		{
			"to: cn-hangzhou", "to: 'a b'",
			`spec.loadBalancer.localityLbSetting.failover[0].to: Invalid value: "a b": a valid label`,
		},
		{
			"\n      - {from: cn-shanghai, to: cn-hangzhou}", pairs.String(),
			`spec.loadBalancer.localityLbSetting.failover: Too many: 66: must have at most 64 items`,
		},
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}

func TestValidatePeer(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range MaxPeerAddresses + 1 {
		many = append(many, fmt.Sprintf(`"192.0.2.1:%d"`, i+1))
	}
	addresses := `["proxy.example.com:7443", "[2001:db8::1]:7443", "192.0.2.1:1"]`
	for _, e := range []edit{
		{"", "", ""},
		{addresses, "[]", ""},
		{addresses, `["192.0.2.1"]`, `spec.addresses[0]: Invalid value: "192.0.2.1": must be host:port`},
		{addresses, `["2001:db8::1"]`, `spec.addresses[0]: Invalid value: "2001:db8::1": must be host:port: an IPv6 address`},
		{addresses, `["2001:db8::1:15443"]`, `spec.addresses[0]: Invalid value: "2001:db8::1:15443": must be host:port: an IPv6 address is written`},
		{addresses, `["https://b.example:15443"]`, `spec.addresses[0]: Invalid value: "https://b.example:15443": must be host:port: leave out h`},
		{addresses, `["a:1", ":7443"]`, `spec.addresses[1]: Invalid value: ":7443": host must be an IP address or a DNS name`},
		{addresses, `["a:0"]`, `spec.addresses[0]: Invalid value: "a:0": port must be a number between 1 and 65535`},
		{addresses, `["a:https"]`, `spec.addresses[0]: Invalid value: "a:https": must be host:port: port "https" is not`},
		{addresses, `["0.0.0.0:1"]`, `spec.addresses[0]: Invalid value: "0.0.0.0:1": must be an address that can be dialed`},
		{addresses, `["[::%eth0]:1"]`, `spec.addresses[0]: Invalid value: "[::%eth0]:1": must be an address that can be dialed`},
		{addresses, `["[::ffff:0.0.0.0]:1"]`, `spec.addresses[0]: Invalid value: "[::ffff:0.0.0.0]:1": must be an address that can be dialed`},
		{addresses, `["a_b:1"]`, `spec.addresses[0]: Invalid value: "a_b:1": host must be an IP address or a DNS name`},
		{addresses, `["a:1", "a:1"]`, `spec.addresses[1]: Duplicate value: "a:1"`},
		{addresses, "[" + strings.Join(many, ",") + "]", `spec.addresses: Too many: 65: must have at most 64 items`},
		{"name: ap-northeast-1}", "name: Ap.1}", `metadata.name: Invalid value: "Ap.1": a lowercase RFC 1123 label`},
		{"{name: ap-northeast-1}", "{}", `metadata.name: Required value`},
		{
			"spiffe://ap", "https://ap",
			`spec.spiffeID: Invalid value: "https://ap/eastway/cluster/ap-northeast-1": must begin with spiffe://`,
		},
		{
			"spiffe://ap", "spiffe://" + strings.Repeat("a", MaxSPIFFEID),
			`spec.spiffeID: Too long: may not be more than 2048 bytes`,
		},
		{"  spiffeID: spiffe://ap/eastway/cluster/ap-northeast-1\n", "", `spec.spiffeID: Required value`},
		{"trustBundle: PEM", "trustBundle: ' '", `spec.trustBundle: Required value`},
		{
			"trustBundle: PEM", "trustBundle: " + strings.Repeat("a", MaxTrustBundle+1),
			`spec.trustBundle: Too long: may not be more than 1048576 bytes`,
		},
	} {
		p := new(Peer)
		check(t, peerYAML, e, p, func() field.ErrorList { return ValidatePeer(p) })
	}
}

func check(t *testing.T, manifest string, e edit, into any, validate func() field.ErrorList) {
	t.Helper()
	if e.old != "" && !strings.Contains(manifest, e.old) {
		t.Fatalf("%q is not in the manifest", e.old)
	}
	if err := yaml.UnmarshalStrict([]byte(strings.Replace(manifest, e.old, e.new, 1)), into); err != nil {
		t.Fatalf("%s: %v", short(e.new), err)
	}
	var got []string
	for _, err := range validate() {
		got = append(got, err.Error())
	}
	text := strings.Join(got, "\n")
	if e.want == "" && text != "" || !strings.HasPrefix(text, e.want) {
		t.Errorf("%s → %s:\n got %s\nwant %s", short(e.old), short(e.new), text, e.want)
	}
	if len(text) > 1000 {
		t.Errorf("%s → %s: the error has %d bytes", short(e.old), short(e.new), len(text))
	}
}

// FuzzValidate: whatever a manifest says, it is accepted or refused, and what is accepted is within the bounds.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(policyYAML))
	f.Add([]byte(balancerYAML))
	f.Add([]byte(peerYAML))
	f.Fuzz(func(t *testing.T, data []byte) {
		policy := new(TrafficPolicy)
		if yaml.Unmarshal(data, policy) == nil && len(ValidateTrafficPolicy(policy)) == 0 {
			withinBounds(t, &policy.Spec)
		}
		peer := new(Peer)
		if yaml.Unmarshal(data, peer) == nil && len(ValidatePeer(peer)) == 0 {
			if len(peer.Spec.Addresses) > MaxPeerAddresses || peer.Name == "" || peer.Spec.TrustBundle == "" {
				t.Errorf("accepted %+v", peer)
			}
		}
	})
}

// withinBounds checks an accepted policy.
func withinBounds(t *testing.T, p *TrafficPolicySpec) {
	t.Helper()
	if o := p.OutlierDetection; o != nil && o.Interval != nil && o.Interval.Duration < MinInterval {
		t.Errorf("interval %s", o.Interval.Duration)
	}
	if o := p.OutlierDetection; o != nil && len(o.OutlierDetectionHTTPErrorCodes) > MaxErrorCodes {
		t.Errorf("%d statuses", len(o.OutlierDetectionHTTPErrorCodes))
	}
	if p.LoadBalancer == nil || p.LoadBalancer.LocalityLbSetting == nil {
		return
	}
	set := p.LoadBalancer.LocalityLbSetting
	if n := len(set.Failover); n > MaxFailover {
		t.Errorf("%d pairs", n)
	}
	for _, d := range set.Distribute {
		sum := uint64(0)
		for _, weight := range d.To {
			sum += uint64(weight)
		}
		if sum != allWeight {
			t.Errorf("weights add up to %d", sum)
		}
	}
}
