package access

import "strings"

// TraceID is that of a W3C traceparent, VERSION-TRACE-PARENT-FLAGS; empty if there is none.
func TraceID(traceparent string) string {
	const from, to = 3, 35
	if len(traceparent) <= to || traceparent[from-1] != '-' || traceparent[to] != '-' {
		return ""
	}
	id := traceparent[from:to]
	if strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}
