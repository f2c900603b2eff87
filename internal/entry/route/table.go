package route

import (
	"fmt"
	"net/http"
)

// Table is what Manifests mean, ready to be used by any number of goroutines. The zero value has no listener.
type Table struct {
	ports  []*Port
	byPort map[uint16]*byHost[*Listener]
	limits []*Limit
	tls    []*BackendTLS
}

// Ports are those to listen on, in order.
func (t *Table) Ports() []*Port { return t.ports }

// Limits are all that a Decision may have, in any order.
func (t *Table) Limits() []*Limit { return t.limits }

// BackendTLS are all that a Decision's backends may have, in any order.
func (t *Table) BackendTLS() []*BackendTLS { return t.tls }

// Listener is the one for a name on a port of the process, by the most specific hostname: that of a request, or in TLS the client's SNI. It is
// nil if there is none.
func (t *Table) Listener(port uint16, host string) *Listener {
	if host != "" {
		host, _ = hostOf(host)
	}
	return t.listener(port, host)
}

func (t *Table) listener(port uint16, host string) *Listener {
	if hosts := t.byPort[port]; hosts != nil {
		for l := range hosts.matching(host) {
			return l
		}
	}
	return nil
}

// Match decides about a request that came in on a port of the process. In TLS, r.TLS has the name that the client connected with. The random
// number, any of 64 bits, chooses among backends by weight, and which requests are mirrored: the same number decides alike.
func (t *Table) Match(port uint16, r *http.Request, random uint64) Decision {
	host, ok := hostOf(r.Host)
	if !ok {
		return refuse(nil, http.StatusBadRequest, ReasonBadHost, "the request's Host is neither a name nor an address")
	}
	l := t.listener(port, host)
	if l == nil {
		return refuse(nil, http.StatusNotFound, ReasonNoListener, "no listener for this host: see the hostnames of the Gateway's listeners")
	}
	if r.TLS != nil && t.Listener(port, r.TLS.ServerName) != l {
		return refuse(l, http.StatusMisdirectedRequest, ReasonMisdirected,
			"the connection was made for a host of another listener: the client has to make a new one")
	}
	if r.Method == http.MethodConnect {
		return refuse(l, http.StatusMethodNotAllowed, ReasonMethod, "the method CONNECT is not supported")
	}
	path, ok := normalPath(r.URL)
	if !ok {
		return refuse(l, http.StatusBadRequest, ReasonBadPath, `the request's path does not begin with /, has "." or ".." as an element, or a NUL`)
	}
	q := query{r: r, came: path, path: mergeSlashes(path)}
	if len(path) > maxPath {
		return refuse(l, http.StatusRequestURITooLong, ReasonTooLong,
			fmt.Sprintf("the path has %d bytes, at most %d are matched", len(path), maxPath))
	}
	d := l.decide(&q, host, random)
	if len(d.Limits) > 0 {
		d.Seen = unescaped(q.path)
	}
	return d
}

func (l *Listener) decide(q *query, host string, random uint64) Decision {
	for x := range l.routes.matching(host) {
		e := x.find(q)
		if q.long {
			return refuse(l, http.StatusRequestHeaderFieldsTooLarge, ReasonTooLong,
				fmt.Sprintf("a header or query parameter that a regular expression is for has more than %d bytes", maxRegexInput))
		}
		if e != nil {
			return e.decide(l, q, host, random)
		}
	}
	return refuse(l, http.StatusNotFound, ReasonNoRoute, "no rule of a route matches")
}

func refuse(l *Listener, status int, reason Reason, message string) Decision {
	d := Decision{Kind: Refuse, Status: status, Reason: reason, Message: message, Listener: l}
	if l != nil {
		d.Limits = l.limits
	}
	return d
}
