package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

func TestAuthz(t *testing.T) {
	t.Parallel()
	answer := func(peer string, s discovery.ServiceName) status.Authorization {
		return status.Authorization{Peer: peer, Namespace: s.Namespace, Name: s.Name, Rule: "export-to"}
	}
	for _, tt := range []struct {
		query      string
		healthOnly bool
		code       int
		want       string
	}{
		{"service=shop/cart&from=b", false, http.StatusOK, `"peer":"b","namespace":"shop","name":"cart","allowed":false,"rule":"export-to"`},
		{"service=shop/cart", false, http.StatusBadRequest, "from= names no peer"},
		{"service=cart&from=b", false, http.StatusBadRequest, "is not NAMESPACE/NAME"},
		{"service=shop/cart&from=b", true, http.StatusNotFound, "not found"},
	} {
		h := newHandler(Config{Authz: answer, HealthOnly: tt.healthOnly, AllowRemote: true}, zap.NewNop())
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, PathAuthz+"?"+tt.query, http.NoBody))
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s", tt.query, w.Code, w.Body)
		}
	}
}
