package drill

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/eastway/eastway/failover/drill"
	"github.com/eastway/eastway/internal/admin"
)

const (
	// path of the admin listener: POST starts a run, POST and DELETE with its ID behind it renew its lease and end it.
	path = "/drills"
	// maxSpec is some thousand networks of callers, in bytes: more than a run may have.
	maxSpec = 64 << 10
)

// Handlers are for admin.Config.More of a proxy. With remote, other machines reach the listener, which asks for no identity: then no drill
// can be started.
func Handlers(d *drill.Drills, remote bool) map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{
		"POST " + path:             func(w http.ResponseWriter, r *http.Request) { start(d, w, r) },
		"POST " + path + "/{id}":   func(w http.ResponseWriter, r *http.Request) { report(d.Renew, w, r) },
		"DELETE " + path + "/{id}": func(w http.ResponseWriter, r *http.Request) { report(d.Stop, w, r) },
	}
	if !remote {
		return all
	}
	for pattern := range all {
		all[pattern] = func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, errRemote) }
	}
	return all
}

var errRemote = errors.New("drills: the admin listener is open to other machines and asks for no identity; " +
	"run the proxy without --unsafe-admin-remote to use eastway drill")

// begun is the answer to the start of a run.
type begun struct {
	ID string `json:"id"`
}

func start(d *drill.Drills, w http.ResponseWriter, r *http.Request) {
	var spec drill.Spec
	content := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSpec))
	content.DisallowUnknownFields() // what this release does not know must not be left out
	switch err := content.Decode(&spec); {
	case !isJSON(r):
		refuse(w, http.StatusUnsupportedMediaType, fmt.Errorf("the content type must be %s", admin.JSON))
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, fmt.Errorf("read the drill: %w", err))
		return
	}
	id, err := d.Start(spec)
	switch {
	case errors.Is(err, drill.ErrRunning):
		refuse(w, http.StatusConflict, err)
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	default:
		answer(w, http.StatusOK, begun{ID: id})
	}
}

func report(of func(id string) (drill.Report, error), w http.ResponseWriter, r *http.Request) {
	if !isJSON(r) {
		refuse(w, http.StatusUnsupportedMediaType, fmt.Errorf("the content type must be %s", admin.JSON))
		return
	}
	found, err := of(r.PathValue("id"))
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	answer(w, http.StatusOK, found)
}

// isJSON keeps out pages in a browser of this machine: a page of another origin may send JSON only after a preflight request (CORS), and the
// listener allows none. It keeps out no program: whatever connects to the listener may run drills.
func isJSON(r *http.Request) bool {
	of, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && of == admin.JSON
}

func refuse(w http.ResponseWriter, code int, err error) {
	answer(w, code, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", admin.JSON)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // the client is gone
}
