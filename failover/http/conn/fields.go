package conn

import (
	"net/http"
	"net/textproto"
	"strings"
)

// RemoveHopByHop removes the fields that belong to one connection (RFC 9110, 7.6.1); "TE: trailers" stays.
func RemoveHopByHop(h http.Header) {
	trailers := HasToken(h["Te"], "trailers") // which Connection has to name
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range [...]string{"Te", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Http2-Settings"} {
		delete(h, name)
	}
	if trailers {
		h.Set("Te", "trailers")
	}
}

// HasToken is true when a comma-separated field contains a token; parameters do not count.
func HasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			t, _, _ = strings.Cut(t, ";")
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}
