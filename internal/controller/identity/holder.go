package identity

import (
	"errors"
	"sync"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/eastway/eastway/internal/notify"
)

// Holder is the cluster's identity as it is now. It implements x509svid.Source; the zero value holds nothing yet.
type Holder struct {
	mu      sync.Mutex
	svid    *x509svid.SVID
	bundle  *x509bundle.Bundle
	changed notify.Broadcast
}

var errNone = errors.New("identity: this cluster has no certificate yet")

// GetX509SVID is the current certificate.
func (h *Holder) GetX509SVID() (*x509svid.SVID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.svid == nil {
		return nil, errNone
	}
	return h.svid, nil
}

// Bundle is the own trust bundle; nil when there is none yet.
func (h *Holder) Bundle() *x509bundle.Bundle {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bundle == nil {
		return nil
	}
	return h.bundle.Clone()
}

// Changed is closed when there is another identity than now.
func (h *Holder) Changed() <-chan struct{} { return h.changed.Changed() }

func (h *Holder) set(svid *x509svid.SVID, bundle *x509bundle.Bundle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.svid != nil && h.svid.Certificates[0].Equal(svid.Certificates[0]) && h.bundle.Equal(bundle) {
		return
	}
	h.svid, h.bundle = svid, bundle
	h.changed.Notify()
}
