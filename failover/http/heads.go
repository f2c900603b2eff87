package http

import (
	"maps"
	"net/http"
	"net/textproto"
	"sync"

	"github.com/eastway/eastway/failover/http/conn"
)

// heads writes the heads of a client's answer: interim ones, then the final one. net/http's client calls it meanwhile.
type heads struct {
	w http.ResponseWriter

	mu     sync.Mutex
	begun  bool // a part of an answer was passed on
	headed bool // the final head is being written
}

// hasBegun is true when the client has got a part of an answer.
func (h *heads) hasBegun() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun
}

// proceed answers 100.
func (h *heads) proceed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.headed {
		h.w.WriteHeader(http.StatusContinue)
	}
}

// interim passes an interim answer on, unless its try is over.
func (h *heads) interim(over *bool, code int, header textproto.MIMEHeader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if *over || code == http.StatusSwitchingProtocols {
		return
	}
	h.begun = true
	out := h.w.Header()
	maps.Copy(out, header)
	conn.RemoveHopByHop(out)
	h.w.WriteHeader(code)
	clear(out)
}

// endInterim ends the interim answers of a try.
func (h *heads) endInterim(over *bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*over = true
}

// head writes the final head.
func (h *heads) head(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.headed = true
	h.w.WriteHeader(status)
}
