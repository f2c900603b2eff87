package serve

import "net/http"

// grpcStatusFor is the status of gRPC for an answer that the entry makes itself.
func grpcStatusFor(status int) int {
	switch status {
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED: there is no rule for the method
	case http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusGatewayTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusBadRequest, http.StatusRequestURITooLong, http.StatusRequestHeaderFieldsTooLarge:
		return 13 // INTERNAL, as gRPC takes 400: the call is not well formed
	default:
		return 14 // UNAVAILABLE
	}
}
