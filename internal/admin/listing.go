package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/eastway/eastway/internal/pace"
)

const (
	// listingShare bounds the part of one core that making the answer of PathListeners takes while listeners change: after one
	// that took t, the next is made listingShare times t later, but not later than maxListingAge.
	listingShare  = 10
	maxListingAge = time.Second
)

// listing is the response at PathListeners. All nodes share it, and it is rebuilt only after a change: every node requests it
// several times a second, and there may be thousands of listeners.
type listing struct {
	source ListenerSource

	mu       sync.Mutex
	revision uint64
	ready    bool
	body     []byte // nil before the first
	tag      string
	rest     time.Time // until then the listeners are not read again
}

// now is the current response with its entity tag.
func (l *listing) now(ready bool) (body []byte, tag string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := time.Now()
	revision := l.source.ListenersRevision() // first, so that what changes meanwhile is noticed the next time
	if l.body != nil && ready == l.ready && (revision == l.revision || began.Before(l.rest)) {
		return l.body, l.tag, nil
	}
	open := Listeners{Ready: ready, Listeners: []Listener{}}
	for _, s := range l.source.Listening() {
		if s.Error == "" && !s.Vacant {
			open.Listeners = append(open.Listeners, Listener{Port: s.Address.Port(), Service: s.Service})
		}
	}
	slices.SortFunc(open.Listeners, func(a, b Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Service, b.Service))
	})
	if body, err = json.Marshal(open); err != nil {
		return nil, "", err
	}
	const tagBytes = 12
	sum := sha256.Sum256(body)
	l.revision, l.ready, l.body, l.tag = revision, ready, body, `"`+hex.EncodeToString(sum[:tagBytes])+`"`
	end := time.Now()
	l.rest = end.Add(pace.Rest(end.Sub(began), listingShare, maxListingAge))
	return l.body, l.tag, nil
}

// listeners answers 200 whether or not the process is ready: the body has both. A client that has the body already gets a 304.
func (h *handler) listeners(w http.ResponseWriter, r *http.Request) {
	body, tag, err := h.listing.now(h.readiness().Ready)
	if err != nil {
		h.answer(w, http.StatusInternalServerError, problem{Error: err.Error()})
		return
	}
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(body); err != nil {
		h.log.Debug("admin answer not delivered", zap.Error(err))
	}
}
