package kubetest

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// request is a parsed path.
type request struct {
	group, version, resource, namespace, name, subresource string
}

func (r request) collection() string { return r.group + "/" + r.version + "/" + r.resource }

// parse takes /api/v1/… and /apis/GROUP/VERSION/… apart.
func parse(url string) request {
	parts := strings.Split(strings.Trim(url, "/"), "/")
	var r request
	next := func() (part string) {
		if len(parts) > 0 {
			part, parts = parts[0], parts[1:]
		}
		return part
	}
	if next() == "apis" {
		r.group = next()
	}
	r.version = next()
	if len(parts) > 2 && parts[0] == "namespaces" {
		next()
		r.namespace = next()
	}
	r.resource, r.name, r.subresource = next(), next(), next()
	return r
}

func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/version" {
		answer(w, http.StatusOK, map[string]string{"gitVersion": s.Version, "major": "1", "minor": strings.Split(s.Version+"..", ".")[1]})
		return
	}
	r := parse(req.URL.Path)
	verb := map[string]string{
		http.MethodGet: "get", http.MethodPost: "create", http.MethodPatch: "patch", http.MethodPut: "update", http.MethodDelete: "delete",
	}[req.Method]
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	if r.name == "" && verb == "get" {
		verb = "list"
	}
	s.mu.Lock()
	kind, known := s.kinds[r.collection()]
	forbidden := s.forbid[verb+" "+resource]
	s.mu.Unlock()
	switch {
	case forbidden:
		fail(w, http.StatusForbidden, metav1.StatusReasonForbidden, r,
			resource+" is forbidden: User \"tester\" cannot "+verb+" resource \""+resource+"\"")
	case r.resource == "":
		s.discover(w, r)
	case r.subresource == "portforward":
		s.portforward(w, req, r.name)
	case !known:
		http.NotFound(w, req) // as the API server answers on unknown paths
	default:
		s.rest(w, req, r, kind)
	}
}

func fail(w http.ResponseWriter, code int32, reason metav1.StatusReason, r request, message string) {
	answer(w, int(code), metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: code, Reason: reason, Message: message,
		Details: &metav1.StatusDetails{Name: r.name, Group: r.group, Kind: r.resource},
	})
}

// discover lists the versions of a group, or the resources of a version.
func (s *Server) discover(w http.ResponseWriter, r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := map[string]bool{}
	resources := []metav1.APIResource{}
	for key, kind := range s.kinds {
		parts := strings.Split(key, "/")
		if parts[0] != r.group {
			continue
		}
		versions[parts[1]] = true
		if parts[1] == r.version {
			resources = append(resources, metav1.APIResource{Name: parts[2], Kind: kind})
		}
	}
	switch {
	case r.version == "" && len(versions) > 0:
		group := metav1.APIGroup{Name: r.group}
		for _, v := range slices.Sorted(maps.Keys(versions)) {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: r.group + "/" + v, Version: v})
		}
		answer(w, http.StatusOK, group)
	case len(resources) > 0:
		answer(w, http.StatusOK, metav1.APIResourceList{GroupVersion: r.group + "/" + r.version, APIResources: resources})
	default:
		http.NotFound(w, &http.Request{})
	}
}

func (s *Server) rest(w http.ResponseWriter, req *http.Request, r request, kind string) {
	switch req.Method {
	case http.MethodGet:
		if r.name == "" {
			s.list(w, req, r, kind)
			return
		}
		s.mu.Lock()
		found, ok := s.objects[path(r.collection(), r.namespace, r.name)]
		s.mu.Unlock()
		if !ok {
			missing(w, r)
			return
		}
		answer(w, http.StatusOK, found)
	case http.MethodPost:
		s.create(w, req, r)
	case http.MethodPatch:
		s.patch(w, req, r, kind)
	case http.MethodDelete:
		at := path(r.collection(), r.namespace, r.name)
		s.mu.Lock()
		found, ok := s.objects[at]
		delete(s.objects, at)
		s.mu.Unlock()
		if !ok {
			missing(w, r)
			return
		}
		s.notify("delete", found)
		answer(w, http.StatusOK, metav1.Status{Status: metav1.StatusSuccess})
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func missing(w http.ResponseWriter, r request) {
	fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, r, r.resource+" \""+r.name+"\" not found")
}

func (s *Server) list(w http.ResponseWriter, req *http.Request, r request, kind string) {
	selector, err := labels.Parse(req.URL.Query().Get("labelSelector"))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	items := []any{}
	s.mu.Lock()
	for _, at := range slices.Sorted(maps.Keys(s.objects)) {
		u := &unstructured.Unstructured{Object: s.objects[at]}
		inside := r.namespace == "" || r.namespace == u.GetNamespace()
		if strings.HasPrefix(at, r.collection()+"|") && inside && selector.Matches(labels.Set(u.GetLabels())) {
			items = append(items, u.Object)
		}
	}
	s.mu.Unlock()
	version := r.version
	if r.group != "" {
		version = r.group + "/" + r.version
	}
	answer(w, http.StatusOK, map[string]any{"apiVersion": version, "kind": kind + "List", "metadata": map[string]any{}, "items": items})
}

func (s *Server) create(w http.ResponseWriter, req *http.Request, r request) {
	object, ok := body(w, req)
	if !ok {
		return
	}
	u := &unstructured.Unstructured{Object: object}
	r.name = u.GetName()
	at := path(r.collection(), r.namespace, r.name)
	s.mu.Lock()
	_, there := s.objects[at]
	if !there && r.resource != "subjectaccessreviews" {
		s.put(at, object)
	}
	s.mu.Unlock()
	if there {
		fail(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, r, r.resource+" \""+r.name+"\" already exists")
		return
	}
	s.notify("create", object)
	answer(w, http.StatusCreated, object)
}

// patch merges, also what is applied; it keeps no field managers, but an annotation "managed-by-others" conflicts.
func (s *Server) patch(w http.ResponseWriter, req *http.Request, r request, kind string) {
	change, ok := body(w, req)
	if !ok {
		return
	}
	apply := strings.Contains(req.Header.Get("Content-Type"), "apply-patch")
	at := path(r.collection(), r.namespace, r.name)
	s.mu.Lock()
	old, there := s.objects[at]
	var result map[string]any
	switch {
	case !there && !apply:
		s.mu.Unlock()
		missing(w, r)
		return
	case there && apply && (&unstructured.Unstructured{Object: old}).GetAnnotations()["managed-by-others"] != "" &&
		req.URL.Query().Get("force") != "true":
		s.mu.Unlock()
		fail(w, http.StatusConflict, metav1.StatusReasonConflict, r, "Apply failed with 1 conflict: conflict with \"argocd\": .spec.addresses")
		return
	}
	result = merge(old, change, apply)
	result["kind"] = kind
	if len(req.URL.Query()["dryRun"]) == 0 {
		s.put(at, result)
	}
	s.mu.Unlock()
	if len(req.URL.Query()["dryRun"]) == 0 {
		s.notify("update", result)
	}
	answer(w, http.StatusOK, result)
}

// merge is RFC 7386, except that an applied spec replaces the old one.
func merge(old, change map[string]any, apply bool) map[string]any {
	out := map[string]any{}
	maps.Copy(out, old)
	for k, v := range change {
		object, isObject := v.(map[string]any)
		before, wasObject := out[k].(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isObject && wasObject && (!apply || k != "spec"):
			out[k] = merge(before, object, false)
		default:
			out[k] = v
		}
	}
	return out
}

func body(w http.ResponseWriter, req *http.Request) (map[string]any, bool) {
	data, err := io.ReadAll(req.Body)
	object := map[string]any{}
	if err == nil {
		err = yaml.Unmarshal(data, &object)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
	return object, err == nil
}
