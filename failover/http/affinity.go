package http

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/eastway/eastway/failover/balance"
)

// affinityOf is the affinity of a request, 0 if it has no key. A client that is to get a cookie has one already by that.
func affinityOf(r *http.Request, by *balance.HashKey) (affinity uint64, cookie *http.Cookie) {
	var values []string
	switch {
	case strings.EqualFold(by.Header, "Host"), by.Header == ":authority":
		values = []string{r.Host}
	case by.Header != "":
		values = r.Header.Values(by.Header)
	case by.Query != "":
		values = r.URL.Query()[by.Query]
	case by.Cookie != "":
		values, cookie = byCookie(r, by)
	}
	if len(values) == 0 {
		return 0, nil
	}
	return balance.Affinity(values...), cookie
}

func byCookie(r *http.Request, by *balance.HashKey) (values []string, fresh *http.Cookie) {
	if c, err := r.Cookie(by.Cookie); err == nil {
		return []string{c.Value}, nil
	}
	if by.CookieTTL == nil {
		return nil, nil
	}
	fresh = &http.Cookie{ //nolint:gosec // it is no secret, and has to work over HTTP in clear
		Name: by.Cookie, Value: rand.Text(), Path: by.CookiePath, MaxAge: int(by.CookieTTL.Seconds()), HttpOnly: true,
	}
	return []string{fresh.Value}, fresh
}

// stick gives a request its affinity. That of a peer counts, so that both proxies mean the same.
func (e *exchange) stick() {
	if e.call.affinity == 0 {
		e.call.affinity, e.cookie = affinityOf(e.r, &e.policy.HashKey)
	}
}

// setCookie adds a cookie that the client is to get.
func setCookie(h http.Header, c *http.Cookie) {
	if c != nil {
		h.Add("Set-Cookie", c.String())
	}
}
