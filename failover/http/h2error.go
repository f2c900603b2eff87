package http

// streamError has the shape that net/http's HTTP/2 stream errors convert themselves to (errors.As); the name and the fields matter.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error.
func (streamError) Error() string { return "HTTP/2 stream error" }
