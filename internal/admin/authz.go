package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

func (h *handler) authz(w http.ResponseWriter, r *http.Request) {
	namespace, name, ok := h.service(w, r)
	if !ok {
		return
	}
	peer := r.URL.Query().Get("from")
	if peer == "" {
		h.answer(w, http.StatusBadRequest, problem{Error: "from= names no peer"})
		return
	}
	h.answer(w, http.StatusOK, h.cfg.Authz(peer, discovery.ServiceName{Namespace: namespace, Name: name}))
}

// Authz returns whether the peer may call the service, and why.
func (c *Client) Authz(ctx context.Context, peer, namespace, name string) (status.Authorization, error) {
	var found status.Authorization
	err := c.get(ctx, PathAuthz, url.Values{"service": {namespace + "/" + name}, "from": {peer}}, &found)
	if err != nil {
		return found, fmt.Errorf("authz explain: %w", err)
	}
	return found, nil
}
