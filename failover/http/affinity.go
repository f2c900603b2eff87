package http

import "net/http"

// stick gives a request its affinity. That of a peer counts, so that both proxies mean the same.
func (e *exchange) stick() {
	if e.call.affinity == 0 {
		e.call.affinity, e.cookie = e.policy.HashKey.Of(e.r)
	}
}

// setCookie adds a cookie that the client is to get.
func setCookie(h http.Header, c *http.Cookie) {
	if c != nil {
		h.Add("Set-Cookie", c.String())
	}
}
