package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/eastway/eastway/internal/status"
)

// probe makes a call that has effects: only by POST, which no link and no image of a web page sends.
func (h *handler) probe(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r)
	if !ok {
		return
	}
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil {
		h.answer(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("timeout: %v", err), Reason: reasonBadQuery})
		return
	}
	probe, err := h.cfg.Probe(r.Context(), status.ProbeQuery{
		Namespace: q.Namespace, Name: q.Name, Port: q.Port, Request: q.Request, Timeout: timeout,
	})
	switch {
	case err != nil:
		h.refuse(w, err)
	case probe == nil:
		h.noService(w, q.Namespace, q.Name)
	default:
		h.answer(w, http.StatusOK, probe)
	}
}

// Probe has the proxy call a service; ErrNoService if there is no such service.
func (c *Client) Probe(ctx context.Context, q status.ProbeQuery) (status.Probe, error) {
	query := url.Values{"service": {q.Namespace + "/" + q.Name}, "timeout": {q.Timeout.String()}}
	if q.Port != 0 {
		query.Set("port", strconv.Itoa(int(q.Port)))
	}
	patient := *c.http
	patient.Timeout += q.Timeout
	client := Client{base: c.base, http: &patient}
	var found status.Probe
	err := client.send(ctx, http.MethodPost, PathProbe, query, bytes.NewReader(q.Request), &found)
	if errors.Is(err, ErrNoService) {
		return found, fmt.Errorf("%w: %s/%s", ErrNoService, q.Namespace, q.Name)
	}
	return found, err
}
