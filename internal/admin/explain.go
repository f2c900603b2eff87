package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/eastway/eastway/internal/status"
)

// MaxRequestHead, in bytes, is the longest head of a request that is explained; the proxy itself reads less.
const MaxRequestHead = 64 << 10

// query reads which calls a request is about.
func (h *handler) query(w http.ResponseWriter, r *http.Request) (q status.Query, ok bool) {
	namespace, name, ok := h.service(w, r)
	if !ok {
		return q, false
	}
	query := r.URL.Query()
	q = status.Query{Namespace: namespace, Name: name, From: query.Get("from"), Source: query.Get("source")}
	if text := query.Get("port"); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			h.answer(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("port=%q is not a port number", text)})
			return q, false
		}
		q.Port = uint16(port)
	}
	var err error
	if q.Request, err = io.ReadAll(http.MaxBytesReader(w, r.Body, MaxRequestHead)); err != nil {
		h.answer(w, http.StatusBadRequest, problem{Error: fmt.Sprintf("read the request's head: %v", err)})
		return q, false
	}
	return q, true
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	q, ok := h.query(w, r)
	if !ok {
		return
	}
	ports, err := h.cfg.Explain(r.Context(), q)
	switch {
	case err != nil:
		h.refuse(w, err)
	case ports == nil:
		h.noService(w, q.Namespace, q.Name)
	default:
		h.answer(w, http.StatusOK, ServiceExplanation{Namespace: q.Namespace, Name: q.Name, Ports: ports})
	}
}

// Explain returns where the calls that q selects go, and why; ErrNoService if there is no such service.
func (c *Client) Explain(ctx context.Context, q status.Query) (ServiceExplanation, error) {
	query := url.Values{"service": {q.Namespace + "/" + q.Name}}
	for name, value := range map[string]string{"from": q.From, "source": q.Source} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if q.Port != 0 {
		query.Set("port", strconv.Itoa(int(q.Port)))
	}
	var found ServiceExplanation
	err := c.send(ctx, http.MethodPost, PathExplain, query, bytes.NewReader(q.Request), &found)
	if errors.Is(err, ErrNoService) {
		return found, fmt.Errorf("%w: %s/%s", ErrNoService, q.Namespace, q.Name)
	}
	return found, err
}
