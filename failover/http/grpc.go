package http

import (
	"net/http"
	"strconv"
	"strings"
)

// statusOf is the status that counts for an endpoint: of gRPC that of its own status, which comes in the trailers or, without a body, in
// the head. Valid when the body was read.
func statusOf(resp *http.Response) int {
	if resp.StatusCode != http.StatusOK || !isGRPC(resp.Header) {
		return resp.StatusCode
	}
	code, ok := grpcCode(resp.Trailer)
	if !ok {
		code, ok = grpcCode(resp.Header)
	}
	if !ok {
		return resp.StatusCode
	}
	return grpcStatus(code)
}

// grpcCode is the gRPC status in the trailers, or in the head of an answer without a body.
func grpcCode(h http.Header) (code int, ok bool) {
	code, err := strconv.Atoi(h.Get("Grpc-Status"))
	return code, err == nil
}

func isGRPC(h http.Header) bool {
	kind := h.Get("Content-Type")
	return kind == "application/grpc" || strings.HasPrefix(kind, "application/grpc+") || strings.HasPrefix(kind, "application/grpc;")
}

// grpcStatus is the HTTP status that a gRPC status counts as. Envoy also counts UNKNOWN and UNIMPLEMENTED, which are usually the
// application's own, and does not look into trailers.
func grpcStatus(code int) int {
	switch code {
	case 4: // DEADLINE_EXCEEDED
		return http.StatusGatewayTimeout
	case 8: // RESOURCE_EXHAUSTED, which is no error of the endpoint's
		return http.StatusTooManyRequests
	case 13, 15: // INTERNAL, DATA_LOSS
		return http.StatusInternalServerError
	case 14: // UNAVAILABLE
		return http.StatusServiceUnavailable
	default:
		return http.StatusOK
	}
}

// grpcStatusFor is the gRPC status of an answer that Eastway makes itself.
func grpcStatusFor(status int) int {
	switch status {
	case http.StatusGatewayTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	default:
		return 14 // UNAVAILABLE
	}
}
