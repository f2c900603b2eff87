package kubetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/yaml"
)

// Server is one cluster.
type Server struct {
	// URL of the API server.
	URL string
	// Version that it reports.
	Version string
	// OnlySPDY refuses port-forwards over WebSocket, as API servers before 1.30 do.
	OnlySPDY bool

	t       testing.TB
	http    *httptest.Server
	scheme  *runtime.Scheme
	mu      sync.Mutex
	objects map[string]map[string]any // by path
	kinds   map[string]string         // of collections that are served, by GROUP/VERSION/RESOURCE
	forbid  map[string]bool           // VERB RESOURCE
	ports   map[string]string         // addresses behind POD:PORT
	changed []func(verb string, object map[string]any)
	serial  int
}

// New starts a server that ends with the test. scheme has the kinds of Add.
func New(t testing.TB, scheme *runtime.Scheme) *Server {
	t.Helper()
	s := &Server{
		Version: "v1.34.4", t: t, scheme: scheme,
		objects: map[string]map[string]any{}, forbid: map[string]bool{}, ports: map[string]string{},
		kinds: map[string]string{
			"/v1/namespaces": "Namespace", "/v1/nodes": "Node", "/v1/pods": "Pod", "/v1/services": "Service",
			"/v1/configmaps": "ConfigMap", "/v1/secrets": "Secret", "/v1/events": "Event",
			"/v1/serviceaccounts":                "ServiceAccount",
			"discovery.k8s.io/v1/endpointslices": "EndpointSlice",
			"apps/v1/deployments":                "Deployment", "apps/v1/daemonsets": "DaemonSet",
			"coordination.k8s.io/v1/leases":                 "Lease",
			"networking.k8s.io/v1/networkpolicies":          "NetworkPolicy",
			"authorization.k8s.io/v1/subjectaccessreviews":  "SubjectAccessReview",
			"eastway.dev/v1alpha1/peers":                    "Peer",
			"eastway.dev/v1alpha1/trafficpolicies":          "TrafficPolicy",
			"eastway.dev/v1alpha1/externalservices":         "ExternalService",
			"multicluster.x-k8s.io/v1alpha1/serviceexports": "ServiceExport",
			"multicluster.x-k8s.io/v1alpha1/serviceimports": "ServiceImport",
			"multicluster.x-k8s.io/v1beta1/serviceexports":  "ServiceExport",
			"multicluster.x-k8s.io/v1beta1/serviceimports":  "ServiceImport",
		},
	}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	t.Cleanup(s.http.Close)
	return s
}

// Add stores the objects.
func (s *Server) Add(objects ...client.Object) {
	s.t.Helper()
	for _, o := range objects {
		gvk, err := apiutil.GVKForObject(o, s.scheme)
		if err != nil {
			s.t.Fatal(err)
		}
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			s.t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: fields}
		u.SetGroupVersionKind(gvk)
		collection := ""
		for _, key := range slices.Sorted(maps.Keys(s.kinds)) {
			if s.kinds[key] == gvk.Kind && strings.HasPrefix(key, gvk.Group+"/"+gvk.Version+"/") {
				collection = key
			}
		}
		if collection == "" {
			s.t.Fatalf("%s is not served", gvk)
		}
		s.mu.Lock()
		s.put(path(collection, u.GetNamespace(), u.GetName()), u.Object)
		s.mu.Unlock()
	}
}

// Get fills in the object that is there; false if none is.
func (s *Server) Get(collection, namespace, name string, into any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.objects[path(collection, namespace, name)]
	if ok {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found, into); err != nil {
			s.t.Error(err)
		}
	}
	return ok
}

// Remove deletes an object without notifying watchers.
func (s *Server) Remove(collection, namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, path(collection, namespace, name))
}

// Drop stops serving collections such as "eastway.dev/v1alpha1/peers".
func (s *Server) Drop(collections ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range collections {
		delete(s.kinds, c)
	}
}

// Forbid refuses a verb on a resource, such as "list", "pods".
func (s *Server) Forbid(verb, resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forbid[verb+" "+resource] = true
}

// OnChange calls f after each change with "create", "update" or "delete" and the object; f may call Add.
func (s *Server) OnChange(f func(verb string, object map[string]any)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = append(s.changed, f)
}

// Forward has port-forwards to that port of the pod end at the address.
func (s *Server) Forward(pod string, port int, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[fmt.Sprintf("%s:%d", pod, port)] = address
}

// AddPod adds a running pod that is ready, with the labels of an installation's component.
func (s *Server) AddPod(namespace, name, release, component, node string) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = namespace, name
	pod.Labels = map[string]string{
		"app.kubernetes.io/name": "eastway", "app.kubernetes.io/instance": release, "app.kubernetes.io/component": component,
	}
	pod.Spec.NodeName = node
	pod.Spec.ServiceAccountName = release + "-" + component
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	s.Add(pod)
	return pod
}

// Kubeconfig writes one file with a context for each server, and gives its path.
func Kubeconfig(t testing.TB, contexts map[string]*Server) string {
	t.Helper()
	type m = map[string]any
	clusters, users, names := []m{}, []m{}, []m{}
	for _, name := range slices.Sorted(maps.Keys(contexts)) {
		clusters = append(clusters, m{"name": name, "cluster": m{"server": contexts[name].URL}})
		users = append(users, m{"name": name, "user": m{"token": "secret-" + name}})
		names = append(names, m{"name": name, "context": m{"cluster": name, "user": name}})
	}
	data, err := yaml.Marshal(m{
		"apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users, "contexts": names,
		"current-context": names[0]["name"],
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// path of an object, or of a collection if name is "".
func path(collection, namespace, name string) string {
	return collection + "|" + namespace + "|" + name
}

func (s *Server) put(at string, object map[string]any) {
	s.serial++
	u := &unstructured.Unstructured{Object: object}
	if u.GetUID() == "" {
		u.SetUID(types.UID(fmt.Sprint("uid-", s.serial)))
	}
	u.SetResourceVersion(fmt.Sprint(s.serial))
	s.objects[at] = object
}

func (s *Server) notify(verb string, object map[string]any) {
	s.mu.Lock()
	listeners := slices.Clone(s.changed)
	s.mu.Unlock()
	for _, f := range listeners {
		f(verb, object)
	}
}

func (s *Server) dial(pod, port string) (net.Conn, error) {
	s.mu.Lock()
	address, ok := s.ports[pod+":"+port]
	s.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("failed to connect to localhost:%s inside namespace: connection refused", port)
	}
	return (&net.Dialer{}).DialContext(s.t.Context(), "tcp", address)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}
