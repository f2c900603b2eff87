package route

import (
	"net/http"
)

// Table is what Manifests mean, ready to be used by any number of goroutines. The zero value has no listener.
type Table struct {
	ports []*Port
}

// Ports are those to listen on, in order.
func (t *Table) Ports() []*Port { return t.ports }

// Listener is the one for a name on a port, by the most specific hostname: that of a request, or in TLS the client's SNI. It is nil if there
// is none.
func (t *Table) Listener(_ uint16, _ string) *Listener { return nil }

// Match decides about a request that came in on a port. In TLS, r.TLS has the name that the client connected with. The random number, any of
// 64 bits, chooses among backends by weight, and which requests are mirrored: the same number decides alike.
func (t *Table) Match(_ uint16, _ *http.Request, _ uint64) Decision {
	return Decision{Kind: Refuse, Status: http.StatusNotFound, Reason: ReasonNoListener}
}
