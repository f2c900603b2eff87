package v1alpha1

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Retries sends HTTP requests once more that an endpoint may have executed. Attempts and RetryOn follow Istio's HTTPRetry, Budget its
// retryBudget, Backoff Envoy's retry_back_off. Requests that no endpoint has executed are repeated whatever is set here.
type Retries struct {
	// Attempts is how often such a request is repeated, 0 to 10; 0: never. The default is 2, and only while there is an endpoint that was
	// not tried; if the field is set, the same endpoint is tried again where there is no other.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	Attempts *uint32 `json:"attempts,omitempty"`
	// PerTryTimeout is the time for one try until the head of its answer, 1ms to 24h; 0s, the default: none.
	// +optional
	PerTryTimeout *metav1.Duration `json:"perTryTimeout,omitempty"`
	// RetryOn is a comma-separated list of Envoy's conditions and of HTTP statuses; the default is gateway-error. It never makes a method
	// repeatable that Methods does not have.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	RetryOn string `json:"retryOn,omitempty"`
	// Methods are those whose requests may be executed twice. The default are the idempotent ones: GET, HEAD, OPTIONS, PUT, DELETE. With
	// POST, which gRPC uses too, an order may be placed twice: list it only if the service recognizes repeated requests.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Pattern=`^[A-Z][A-Z_-]{0,31}$`
	Methods []string `json:"methods,omitempty"`
	// +optional
	Budget *RetryBudget `json:"budget,omitempty"`
	// +optional
	Backoff *RetryBackoff `json:"backoff,omitempty"`
}

// RetryBudget bounds the retries of a service port, per proxy.
type RetryBudget struct {
	// Percent of the requests of the last 10s that may be retries, 0 to 100; the default is 20.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// MinRetryConcurrency is how many retries may be under way, and may begin in a second, whatever the percentage, 0 to 65535; the default is 3.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	MinRetryConcurrency *uint32 `json:"minRetryConcurrency,omitempty"`
}

// RetryBackoff is the time before a retry: at random up to baseInterval × (2^N − 1) for the Nth one, and at most MaxInterval. Without it
// there is none.
type RetryBackoff struct {
	// BaseInterval is 1ms to 1m; the default is 25ms.
	// +optional
	BaseInterval *metav1.Duration `json:"baseInterval,omitempty"`
	// MaxInterval is at least baseInterval and at most 1m; the default is ten times baseInterval.
	// +optional
	MaxInterval *metav1.Duration `json:"maxInterval,omitempty"`
}

// RetryOn is what retries.retryOn means.
//
// +kubebuilder:object:generate=false
type RetryOn struct {
	// NoAnswer: the connection ended, or the try timed out, before an answer.
	NoAnswer bool
	// ServerErrors are all answers with a 5xx status, Statuses those with one of these.
	ServerErrors bool
	Statuses     []int
	// GRPCStatuses are answers whose head already has one of these gRPC statuses.
	GRPCStatuses []int
}

// The conditions of retryOn, as Envoy names them (x-envoy-retry-on, x-envoy-retry-grpc-on).
const (
	retryServerErrors   = "5xx"
	retryGatewayError   = "gateway-error"
	retryReset          = "reset"
	retryUnsent         = "reset-before-request"
	retryConnectFailure = "connect-failure"
	retryRefusedStream  = "refused-stream"
	retryConflict       = "retriable-4xx"
	retryStatusCodes    = "retriable-status-codes"
)

// retryGRPC are the conditions that are gRPC statuses.
func retryGRPC() map[string]int {
	return map[string]int{"cancelled": 1, "deadline-exceeded": 4, "resource-exhausted": 8, "internal": 13, "unavailable": 14}
}

func retryConditions() []string {
	out := []string{
		retryServerErrors, retryGatewayError, retryReset, retryUnsent, retryConnectFailure, retryRefusedStream, retryConflict, retryStatusCodes,
	}
	for name := range retryGRPC() {
		out = append(out, name)
	}
	slices.Sort(out[len(out)-len(retryGRPC()):])
	return append(out, "an HTTP status")
}

// add adds a condition; false: there is none of that name.
func (r *RetryOn) add(condition string) bool {
	switch condition {
	case retryServerErrors:
		r.NoAnswer, r.ServerErrors = true, true
	case retryGatewayError: // Envoy takes a connection that ended for one
		r.NoAnswer, r.Statuses = true, append(r.Statuses, 502, 503, 504)
	case retryReset:
		r.NoAnswer = true
	case retryUnsent, retryConnectFailure, retryRefusedStream, retryStatusCodes: // always on, or in the statuses beside it
	case retryConflict:
		r.Statuses = append(r.Statuses, 409)
	default:
		code, ok := retryGRPC()[condition]
		if ok {
			r.GRPCStatuses = append(r.GRPCStatuses, code)
		}
		return ok
	}
	return true
}

// On is what retryOn means, with its default; what is not valid in it means nothing.
func (r *Retries) On() RetryOn {
	var on RetryOn
	if r == nil || r.RetryOn == "" {
		on.add(retryGatewayError)
		return on
	}
	for part := range strings.SplitSeq(r.RetryOn, ",") {
		part = strings.TrimSpace(part)
		if status, err := strconv.Atoi(part); err == nil {
			on.Statuses = append(on.Statuses, status)
		} else {
			on.add(part)
		}
	}
	return on
}

func validateRetries(at *field.Path, r *Retries) field.ErrorList {
	errs := slices.Concat(
		within(at.Child("attempts"), r.Attempts, MaxAttempts),
		timeout(at.Child("perTryTimeout"), r.PerTryTimeout),
		validateRetryOn(at.Child("retryOn"), r.RetryOn),
		validateMethods(at.Child("methods"), r.Methods),
	)
	if b := r.Budget; b != nil {
		errs = append(errs, within(at.Child("budget", "percent"), b.Percent, 100)...)
		errs = append(errs, within(at.Child("budget", "minRetryConcurrency"), b.MinRetryConcurrency, MaxRetryConcurrency)...)
	}
	if b := r.Backoff; b != nil {
		errs = append(errs, validateBackoff(at.Child("backoff"), b)...)
	}
	return errs
}

// timeout checks a time that may be 0 for none, as in Istio.
func timeout(at *field.Path, d *metav1.Duration) field.ErrorList {
	if d == nil || d.Duration == 0 {
		return nil
	}
	return duration(at, d, MinTimeout, MaxTimeout)
}

func validateRetryOn(at *field.Path, list string) field.ErrorList {
	switch {
	case list == "":
		return nil
	case len(list) > MaxRetryOn:
		return field.ErrorList{field.TooLong(at, "", MaxRetryOn)}
	}
	var errs field.ErrorList
	var on RetryOn
	needsStatus, statuses := false, 0
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		status, err := strconv.Atoi(part)
		switch {
		case err != nil && !on.add(part):
			errs = append(errs, field.NotSupported(at, short(part), retryConditions()))
		case err == nil && (status < MinRetryStatus || status > MaxRetryStatus):
			errs = append(errs, field.Invalid(at, status, fmt.Sprintf("a status must be between %d and %d", MinRetryStatus, MaxRetryStatus)))
		case err == nil:
			statuses++
		default:
			needsStatus = needsStatus || part == retryStatusCodes
		}
	}
	if needsStatus && statuses == 0 {
		errs = append(errs, field.Invalid(at, short(list), "retriable-status-codes needs a status beside it: retriable-status-codes,429"))
	}
	return errs
}

func validateMethods(at *field.Path, methods []string) field.ErrorList {
	if n := len(methods); n > MaxMethods {
		return field.ErrorList{field.TooMany(at, n, MaxMethods)}
	}
	var errs field.ErrorList
	for i, m := range methods {
		name := strings.TrimLeft(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-")
		switch {
		case m == "" || len(m) > MaxMethod || name != "" || m[0] == '_' || m[0] == '-':
			errs = append(errs, field.Invalid(at.Index(i), short(m), "must be an HTTP method in capital letters, such as GET"))
		case slices.Contains(methods[:i], m):
			errs = append(errs, field.Duplicate(at.Index(i), m))
		}
	}
	return errs
}

func validateBackoff(at *field.Path, b *RetryBackoff) field.ErrorList {
	errs := slices.Concat(
		duration(at.Child("baseInterval"), b.BaseInterval, MinBackoff, MaxBackoff),
		duration(at.Child("maxInterval"), b.MaxInterval, MinBackoff, MaxBackoff),
	)
	base := metav1.Duration{Duration: DefaultBackoff}
	if b.BaseInterval != nil {
		base = *b.BaseInterval
	}
	if longest := b.MaxInterval; len(errs) == 0 && longest != nil && longest.Duration < base.Duration {
		errs = append(errs, field.Invalid(at.Child("maxInterval"), longest.Duration.String(),
			fmt.Sprintf("must be at least baseInterval, %s", base.Duration)))
	}
	return errs
}
