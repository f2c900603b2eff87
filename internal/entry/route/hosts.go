package route

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// byHost holds a value for each of some hostnames.
type byHost[T any] struct {
	exact map[string]T
	wild  map[string]T // by what follows the "*"
	any   []T          // none or one
}

func (b *byHost[T]) set(hostname string, value T) {
	switch suffix, wild := strings.CutPrefix(hostname, "*"); {
	case hostname == "":
		b.any = []T{value}
	case wild:
		if b.wild == nil {
			b.wild = make(map[string]T)
		}
		b.wild[suffix] = value
	default:
		if b.exact == nil {
			b.exact = make(map[string]T)
		}
		b.exact[hostname] = value
	}
}

// matching are the values of the hostnames that match a host, from the most specific one on.
func (b *byHost[T]) matching(host string) iter.Seq[T] {
	return func(yield func(T) bool) {
		if v, ok := b.exact[host]; ok && !yield(v) {
			return
		}
		for at := 1; len(b.wild) > 0 && at < len(host); at++ {
			if host[at] != '.' {
				continue
			}
			if v, ok := b.wild[host[at:]]; ok && !yield(v) {
				return
			}
		}
		for _, v := range b.any {
			yield(v)
		}
	}
}

// hostSet are hostnames, of which each may be empty, for any, or begin with "*.".
type hostSet struct {
	names map[string]bool
	under map[string]bool // what follows the first label of one of them, the second, …
}

func newHostSet() *hostSet {
	return &hostSet{names: make(map[string]bool), under: make(map[string]bool)}
}

func (s *hostSet) add(hostname string) {
	s.names[hostname] = true
	for i := range len(hostname) {
		if hostname[i] == '.' {
			s.under[hostname[i:]] = true
		}
	}
}

// meets: a host matches the hostname and one of the set, as intersection has it.
func (s *hostSet) meets(hostname string) bool {
	suffix, wild := strings.CutPrefix(hostname, "*")
	switch {
	case len(s.names) == 0:
		return false
	case hostname == "" || s.names[""] || s.names[hostname] || wild && s.under[suffix]:
		return true
	}
	for i := 1; i < len(hostname); i++ {
		if hostname[i] == '.' && s.names["*"+hostname[i:]] {
			return true
		}
	}
	return false
}

// intersection of two hostnames, of which each may be empty, for any, or begin with "*.": what both match.
func intersection(a, b string) (string, bool) {
	switch {
	case a == "" || a == b:
		return b, true
	case b == "":
		return a, true
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

// covers: all that the hostname matches, the wildcard does too.
func covers(wildcard, hostname string) bool {
	suffix, ok := strings.CutPrefix(wildcard, "*")
	return ok && len(hostname) > len(suffix) && strings.HasSuffix(hostname, suffix)
}

// checkHostname says what is wrong with a hostname of a manifest.
func checkHostname(hostname string) string {
	if _, err := netip.ParseAddr(hostname); err == nil {
		return "must be a DNS name: addresses are matched by leaving the hostname out"
	}
	check := validation.IsDNS1123Subdomain
	if strings.HasPrefix(hostname, "*.") {
		check = validation.IsWildcardDNS1123Subdomain
	}
	return strings.Join(check(hostname), "; ")
}

// hostOf is the host that a request's Host field names: in lower case, without the port and a final dot. It is not ok if that can be neither
// a name nor an address.
func hostOf(field string) (host string, ok bool) {
	if strings.HasPrefix(field, "[") {
		end := strings.IndexByte(field, ']')
		if end < 0 {
			return "", false
		}
		addr, err := netip.ParseAddr(field[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", false
		}
		port, ok := strings.CutPrefix(field[end+1:], ":")
		return addr.String(), isPort(port) && (ok || port == "")
	}
	host, port, _ := strings.Cut(field, ":")
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, isPort(port) && isName(host)
}

func isPort(s string) bool {
	if s == "" {
		return true
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// isName: s may be a DNS name, or an IPv4 address; underscores are in use.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0
}
