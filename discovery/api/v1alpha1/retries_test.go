package v1alpha1

import (
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// requests adds a field to the policy's spec.
func requests(line, want string) edit {
	return edit{"  outlierDetection:", "  " + line + "\n  outlierDetection:", want}
}

func TestValidateRetries(t *testing.T) {
	t.Parallel()
	for _, e := range []edit{
		requests("retries: {}", ""),
		requests("retries: {attempts: 0}", ""),
		requests("retries: {attempts: 10}", ""),
		requests("retries: {attempts: 11}", `spec.retries.attempts: Invalid value: 11: must be between 0 and 10`),
		requests(`retries: {retryOn: "5xx,gateway-error, reset,reset-before-request,connect-failure,refused-stream,retriable-4xx"}`, ""),
		requests(`retries: {retryOn: "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"}`, ""),
		requests(`retries: {retryOn: "retriable-status-codes,429"}`, ""),
		requests(`retries: {retryOn: "429,599"}`, ""),
		requests(`retries: {retryOn: "retriable-status-codes"}`, `spec.retries.retryOn: Invalid value: "retriable-status-codes": `+
			`retriable-status-codes needs a status beside it: retriable-status-codes,429`),
		requests(`retries: {retryOn: "200"}`, `spec.retries.retryOn: Invalid value: 200: a status must be between 400 and 599`),
		requests(`retries: {retryOn: "reset,retriable-headers"}`, `spec.retries.retryOn: Unsupported value: "retriable-headers": `+
			`supported values: "5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "refused-stream", "retriable-4xx", `+
			`"retriable-status-codes", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable", "an HTTP status"`),
		requests(`retries: {retryOn: "reset,"}`, `spec.retries.retryOn: Unsupported value: ""`),
		requests(`retries: {retryOn: "`+strings.Repeat("5xx,", 128)+`5xx"}`, `spec.retries.retryOn: Too long: may not be more than 512 bytes`),
		requests("retries: {methods: [GET, POST, M-SEARCH]}", ""),
		requests("retries: {methods: [GET, get]}", `spec.retries.methods[1]: Invalid value: "get": must be an HTTP method in capital letters`),
		requests(`retries: {methods: [""]}`, `spec.retries.methods[0]: Invalid value: ""`),
		requests("retries: {methods: [-GET]}", `spec.retries.methods[0]: Invalid value: "-GET"`),
		requests("retries: {methods: [GET, GET]}", `spec.retries.methods[1]: Duplicate value: "GET"`),
		requests("retries: {methods: [A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q]}", `spec.retries.methods: Too many: 17`),
		requests("retries: {methods: ["+strings.Repeat("A", MaxMethod+1)+"]}", `spec.retries.methods[0]: Invalid value: "AAAA`),
		requests("scope: clusterset", ""),
		requests("scope: region", ""),
		requests("scope: cluster", ""),
		requests("scope: zone", `spec.scope: Unsupported value: "zone": supported values: "clusterset", "region", "cluster"`),
		requests("timeout: 0s", ""),
		requests("timeout: 24h", ""),
		requests("timeout: 25h", `spec.timeout: Invalid value: "25h0m0s": must be between 1ms and 24h0m0s`),
		requests("timeout: -1s", `spec.timeout: Invalid value: "-1s": must be between 1ms and 24h0m0s`),
		requests("retries: {perTryTimeout: 0s}", ""),
		requests("retries: {perTryTimeout: 1ns}", `spec.retries.perTryTimeout: Invalid value: "1ns": must be between 1ms and 24h0m0s`),
		requests("retries: {budget: {percent: 100, minRetryConcurrency: 0}}", ""),
		requests("retries: {budget: {percent: 101}}", `spec.retries.budget.percent: Invalid value: 101: must be between 0 and 100`),
		requests("retries: {budget: {percent: -1}}", `spec.retries.budget.percent: Invalid value: -1: must be between 0 and 100`),
		requests("retries: {budget: {minRetryConcurrency: 65536}}",
			`spec.retries.budget.minRetryConcurrency: Invalid value: 65536: must be between 0 and 65535`),
		requests("retries: {backoff: {baseInterval: 1ms, maxInterval: 1m}}", ""),
		requests("retries: {backoff: {maxInterval: 25ms}}", ""),
		requests("retries: {backoff: {maxInterval: 24ms}}",
			`spec.retries.backoff.maxInterval: Invalid value: "24ms": must be at least baseInterval, 25ms`),
		requests("retries: {backoff: {baseInterval: 1s, maxInterval: 900ms}}",
			`spec.retries.backoff.maxInterval: Invalid value: "900ms": must be at least baseInterval, 1s`),
		requests("retries: {backoff: {baseInterval: 61s}}",
			`spec.retries.backoff.baseInterval: Invalid value: "1m1s": must be between 1ms and 1m0s`),
	} {
		p := new(TrafficPolicy)
		check(t, policyYAML, e, p, func() field.ErrorList { return ValidateTrafficPolicy(p) })
	}
}

func TestRetryOn(t *testing.T) {
	t.Parallel()
	gateway := RetryOn{NoAnswer: true, Statuses: []int{502, 503, 504}}
	for list, want := range map[string]RetryOn{
		"":                           gateway,
		"gateway-error":              gateway,
		"5xx":                        {NoAnswer: true, ServerErrors: true},
		"reset":                      {NoAnswer: true},
		"connect-failure":            {},
		"reset-before-request , 429": {Statuses: []int{429}},
		"retriable-4xx,retriable-status-codes,503": {Statuses: []int{409, 503}},
		"unavailable,cancelled":                    {GRPCStatuses: []int{14, 1}},
	} {
		if got := (&Retries{RetryOn: list}).On(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v", list, got, want)
		}
	}
	if got := (*Retries)(nil).On(); !reflect.DeepEqual(got, gateway) {
		t.Errorf("without a policy: %+v", got)
	}
}
