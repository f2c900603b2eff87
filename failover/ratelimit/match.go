package ratelimit

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Call is a request or a connection.
type Call struct {
	// Cluster is where its caller runs.
	Cluster string
	// Request is nil for a connection.
	Request *http.Request
}

func (c *Call) matches(m *v1alpha1.RateLimitMatch) bool {
	if len(m.Clusters) > 0 && !slices.Contains(m.Clusters, c.Cluster) {
		return false
	}
	r := c.Request
	if r == nil {
		return !m.OnlyHTTP()
	}
	return matchesAny(m.Hosts, hostOf(r.Host), matchesHost) && matchesAny(m.PathPrefixes, r.URL.Path, matchesPath) &&
		(len(m.Methods) == 0 || slices.Contains(m.Methods, r.Method)) &&
		!slices.ContainsFunc(m.Headers, func(h v1alpha1.HeaderMatch) bool { return !slices.Contains(r.Header.Values(h.Name), h.Value) })
}

// matchesAny is true for a list that has a match, or nothing.
func matchesAny(list []string, value string, matches func(pattern, value string) bool) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(pattern string) bool { return matches(pattern, value) })
}

// hostOf is the name in a Host field, without the port and a final dot.
func hostOf(field string) string {
	host := field
	if name, _, err := net.SplitHostPort(field); err == nil {
		host = name
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.String()
	}
	return strings.TrimSuffix(host, ".")
}

func matchesHost(pattern, host string) bool {
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(below) && strings.EqualFold(host[len(host)-len(below):], below)
	}
	return strings.EqualFold(pattern, host)
}

// matchesPath compares whole elements, as Gateway API's PathPrefix does.
func matchesPath(prefix, path string) bool {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}
