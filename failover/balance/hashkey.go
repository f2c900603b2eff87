package balance

import (
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// HashKey is the part of a request of HTTP by which requests go to the same endpoint; the zero value is none.
type HashKey struct {
	Header, Query, Cookie string
	// CookiePath and CookieTTL are of the cookie that clients without one get; nil: they get none.
	CookiePath string
	CookieTTL  *time.Duration
}

func hashKeyOf(lb *v1alpha1.LoadBalancer) HashKey {
	if lb == nil || lb.ConsistentHash == nil {
		return HashKey{}
	}
	h := lb.ConsistentHash
	key := HashKey{Header: h.HTTPHeaderName, Query: h.HTTPQueryParameterName}
	if c := h.HTTPCookie; c != nil {
		key.Cookie, key.CookiePath = c.Name, c.Path
		if c.TTL != nil {
			key.CookieTTL = &c.TTL.Duration
		}
	}
	return key
}

// Affinity is a Caller's for requests with these values.
func Affinity(values ...string) uint64 { return hash(values...) }

// Of is the affinity of a request, 0 if it has no key. A client that is to get a cookie has one already by that.
func (k *HashKey) Of(r *http.Request) (affinity uint64, cookie *http.Cookie) {
	var values []string
	switch {
	case strings.EqualFold(k.Header, "Host"), k.Header == ":authority":
		values = []string{r.Host}
	case k.Header != "":
		values = r.Header.Values(k.Header)
	case k.Query != "":
		values = r.URL.Query()[k.Query]
	case k.Cookie != "":
		values, cookie = k.ofCookie(r)
	}
	if len(values) == 0 {
		return 0, nil
	}
	return Affinity(values...), cookie
}

func (k *HashKey) ofCookie(r *http.Request) (values []string, fresh *http.Cookie) {
	if c, err := r.Cookie(k.Cookie); err == nil {
		return []string{c.Value}, nil
	}
	if k.CookieTTL == nil {
		return nil, nil
	}
	fresh = &http.Cookie{ //nolint:gosec // it is no secret, and has to work over HTTP in clear
		Name: k.Cookie, Value: rand.Text(), Path: k.CookiePath, MaxAge: int(k.CookieTTL.Seconds()), HttpOnly: true,
	}
	return []string{fresh.Value}, fresh
}
