package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// apiServer is as much of an API server as lists and watches need, over real connections, and fails as one does.
type apiServer struct {
	t       *testing.T
	address string

	mu       sync.Mutex
	server   *httptest.Server
	revision int
	oldest   int // watches from before are answered with 410
	objects  map[string]map[string]*unstructured.Unstructured
	events   []apiEvent
	more     chan struct{} // closed, and replaced, with each event and when watches are to end
	ends     int           // of all watches so far
	refuse   map[string]int
	lists    map[string]int
	held     chan struct{} // lists wait for it to be closed
}

type apiEvent struct {
	revision int
	resource string
	kind     string
	object   *unstructured.Unstructured
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{
		t: t, objects: map[string]map[string]*unstructured.Unstructured{}, more: make(chan struct{}), revision: 1,
		refuse: map[string]int{}, lists: map[string]int{},
	}
	a.start()
	t.Cleanup(a.stop)
	return a
}

// start listens, on the same address as before if there was one.
func (a *apiServer) start() {
	a.t.Helper()
	if a.address == "" {
		a.address = "127.0.0.1:0"
	}
	l, err := new(net.ListenConfig).Listen(a.t.Context(), "tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(a)
	must(a.t, s.Listener.Close())
	s.Listener = l
	s.EnableHTTP2 = true
	s.StartTLS()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.server, a.address = s, l.Addr().String()
}

// stop ends everything at once.
func (a *apiServer) stop() {
	a.mu.Lock()
	s := a.server
	a.server = nil
	a.mu.Unlock()
	if s != nil {
		a.endWatches()
		s.CloseClientConnections()
		s.Close()
	}
}

func (a *apiServer) config() *rest.Config {
	return &rest.Config{
		Host:            "https://" + a.address,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true, NextProtos: []string{"h2"}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func resourceOf(kind string) string {
	if kind == kindPolicy {
		return "trafficpolicies"
	}
	return strings.ToLower(kind) + "s"
}

// apply stores the manifests; remove deletes them.
func (a *apiServer) apply(manifests string)  { a.store(manifests, true) }
func (a *apiServer) remove(manifests string) { a.store(manifests, false) }

func (a *apiServer) store(manifests string, here bool) {
	a.t.Helper()
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		u := &unstructured.Unstructured{}
		must(a.t, yaml.Unmarshal([]byte(doc), &u.Object))
		resource, key := resourceOf(u.GetKind()), u.GetNamespace()+"/"+u.GetName()
		a.mu.Lock()
		if a.objects[resource] == nil {
			a.objects[resource] = map[string]*unstructured.Unstructured{}
		}
		event := "ADDED"
		if a.objects[resource][key] != nil {
			event = "MODIFIED"
		}
		a.revision++
		u.SetResourceVersion(strconv.Itoa(a.revision))
		if here {
			a.objects[resource][key] = u
		} else {
			event = "DELETED"
			delete(a.objects[resource], key)
		}
		a.events = append(a.events, apiEvent{a.revision, resource, event, u})
		a.wake()
		a.mu.Unlock()
	}
}

func (a *apiServer) wake() {
	close(a.more)
	a.more = make(chan struct{})
}

// compact forgets all events: a client that has not seen them must list again.
func (a *apiServer) compact() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revision++ // no client has seen this one
	a.events, a.oldest = nil, a.revision
}

// endWatches closes all watches.
func (a *apiServer) endWatches() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends++
	a.wake()
}

// answer all requests for the resource with that status; 0: as they should be.
func (a *apiServer) answer(resource string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse[resource] = status
}

// hold lets lists wait until the returned function is called.
func (a *apiServer) hold() (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	held := make(chan struct{})
	a.held = held
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.held = nil
		close(held)
	})
}

func (a *apiServer) listed(resource string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lists[resource]
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	a.mu.Lock()
	refused, held := a.refuse[resource], a.held
	if v := a.refuse[r.URL.Path]; v != 0 {
		refused = v
	}
	a.mu.Unlock()
	watching := r.URL.Query().Get("watch") != ""
	switch {
	case refused != 0:
		a.status(w, refused, resource)
	case watching:
		a.serveWatch(w, r, resource)
	default:
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
				return
			}
		}
		a.serveList(w, r, resource)
	}
}

func (a *apiServer) status(w http.ResponseWriter, code int, resource string) {
	reasons := map[int]metav1.StatusReason{
		http.StatusForbidden: metav1.StatusReasonForbidden, http.StatusNotFound: metav1.StatusReasonNotFound,
		http.StatusGone: metav1.StatusReasonExpired, http.StatusInternalServerError: metav1.StatusReasonInternalError,
		http.StatusUnauthorized: metav1.StatusReasonUnauthorized,
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	a.encode(w, &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code),
		Reason: reasons[code], Message: fmt.Sprintf("status %d for %s", code, resource),
	})
}

func (a *apiServer) encode(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil && a.t.Context().Err() == nil {
		a.t.Logf("API server: %v", err)
	}
}

// group of a request's path: apiVersion of the resource.
func groupOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	return strings.Join(parts[1:len(parts)-1], "/")
}

func (a *apiServer) serveList(w http.ResponseWriter, r *http.Request, resource string) {
	a.mu.Lock()
	a.lists[resource]++
	items := []any{}
	for _, key := range slices.Sorted(maps.Keys(a.objects[resource])) {
		items = append(items, a.objects[resource][key].Object)
	}
	list := map[string]any{
		"apiVersion": groupOf(r.URL.Path), "kind": kindOfList(resource),
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(a.revision)}, "items": items,
	}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	a.encode(w, list)
}

func kindOfList(resource string) string {
	for _, r := range resources(ownNamespace) {
		if r.name == resource {
			return r.kind + "List"
		}
	}
	return "List"
}

func (a *apiServer) serveWatch(w http.ResponseWriter, r *http.Request, resource string) {
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	a.mu.Lock()
	ends, expired := a.ends, err != nil || from < a.oldest
	a.mu.Unlock()
	if expired {
		a.status(w, http.StatusGone, resource)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flusher := w.(http.Flusher)
	flusher.Flush()
	for {
		a.mu.Lock()
		events := slices.Clone(a.events)
		more, end := a.more, a.ends != ends
		a.mu.Unlock()
		if end {
			return
		}
		for _, e := range events {
			if e.revision > from && e.resource == resource {
				from = e.revision
				a.encode(w, map[string]any{"type": e.kind, "object": e.object.Object})
			}
		}
		flusher.Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
