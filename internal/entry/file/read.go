package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/discovery/file"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/manifest"
)

const (
	// maxFiles and maxFileSize, in bytes, of a directory, and maxTotal of all its files.
	maxFiles    = 1_000
	maxFileSize = 4 << 20
	maxTotal    = 64 << 20
)

// key of an object.
type key struct{ kind, namespace, name string }

// object as it was read.
type object struct {
	file  string
	value any
}

// Reader reads a directory again and again.
type Reader struct {
	dir  string
	good map[key]object // of the last pass
}

// NewReader reads that directory.
func NewReader(dir string) *Reader { return &Reader{dir: dir} }

// reading is one pass over the directory.
type reading struct {
	*Reader

	objects map[key]object
	errs    []file.FileError
}

// Read returns what is to be served, and what is wrong. It fails if the directory cannot be read.
func (r *Reader) Read() (*route.Manifests, []file.FileError, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("manifests of the entry: %w: name another directory, or create this one", err)
	}
	p := &reading{Reader: r, objects: make(map[key]object)}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(name))) {
			names = append(names, name)
		}
	}
	total := 0
	for i, name := range r.knownFirst(names) {
		if i == maxFiles {
			p.fail(name, &manifest.Object{}, fmt.Errorf("this file and %d others are not read: at most %d are", len(names)-maxFiles-1, maxFiles))
			break
		}
		p.file(name, &total)
	}
	r.good = p.objects
	return assemble(p.objects), p.errs, nil
}

// knownFirst are the names with those first that had something before, if there are too many: what is served stays.
func (r *Reader) knownFirst(names []string) []string {
	if len(names) <= maxFiles {
		return names
	}
	known := make(map[string]bool)
	for _, o := range r.good {
		known[o.file] = true
	}
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case known[a] == known[b]:
			return 0
		case known[a]:
			return -1
		}
		return 1
	})
	return names
}

func (p *reading) fail(name string, m *manifest.Object, err error) {
	at, _ := errors.AsType[*manifest.Error](err)
	if at == nil {
		at = &manifest.Error{}
	}
	p.errs = append(p.errs, file.FileError{File: name, Document: m.Document, Line: at.Line, Field: at.Field, Message: err.Error()})
}

// file takes the objects of a file. What it had stays, as far as it cannot be read.
func (p *reading) file(name string, total *int) {
	data, err := readFile(filepath.Join(p.dir, name))
	if *total += len(data); err == nil && *total > maxTotal {
		err = fmt.Errorf("all files together have more than %d MiB: this one is not read", maxTotal>>20)
	}
	if err != nil {
		p.fail(name, &manifest.Object{}, err)
		p.keep(name)
		return
	}
	if len(bytes.TrimSpace(data)) == 0 {
		p.fail(name, &manifest.Object{}, errors.New("the file is empty: what it had stays in use; write it again or delete it"))
		p.keep(name)
	}
	for _, m := range manifest.Read(name, data) {
		p.add(name, m)
	}
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: a FIFO would block
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(data) > maxFileSize {
		err = fmt.Errorf("larger than %d MiB: split it", maxFileSize>>20)
	}
	return data, err
}

// keep keeps what a file had, unless it is there anew.
func (p *reading) keep(name string) {
	for k, o := range p.good {
		if _, there := p.objects[k]; o.file == name && !there {
			p.objects[k] = o
		}
	}
}

// of makes an empty object of a kind; nil: it is not read here.
func of(id metav1.TypeMeta) any {
	group, _, _ := strings.Cut(id.APIVersion, "/")
	switch group + "/" + id.Kind {
	case gatewayv1.GroupName + "/GatewayClass":
		return new(gatewayv1.GatewayClass)
	case gatewayv1.GroupName + "/Gateway":
		return new(gatewayv1.Gateway)
	case gatewayv1.GroupName + "/HTTPRoute":
		return new(gatewayv1.HTTPRoute)
	case gatewayv1.GroupName + "/GRPCRoute":
		return new(gatewayv1.GRPCRoute)
	case gatewayv1.GroupName + "/BackendTLSPolicy":
		return new(gatewayv1.BackendTLSPolicy)
	case gatewayv1.GroupName + "/ReferenceGrant":
		return new(gatewayv1.ReferenceGrant)
	case "eastway.dev/TrafficPolicy":
		return new(v1alpha1.TrafficPolicy)
	case mcsv1beta1.GroupName + "/ServiceImport":
		return new(mcsv1beta1.ServiceImport)
	case "v1/Service":
		return new(corev1.Service)
	case "discovery.k8s.io/EndpointSlice":
		return new(discoveryv1.EndpointSlice)
	case "v1/ConfigMap":
		return new(corev1.ConfigMap)
	case "v1/Secret":
		return new(corev1.Secret)
	case "v1/Namespace":
		return new(corev1.Namespace)
	}
	return nil
}

// add takes an object of a file. Those of other kinds are not ours.
func (p *reading) add(name string, m *manifest.Object) {
	if m.Err != nil {
		p.fail(name, m, m.Err)
		p.keep(name) // which objects are meant is not known
		return
	}
	into := of(m.ID.TypeMeta)
	if into == nil {
		return
	}
	if err := m.Identify(); err != nil {
		p.fail(name, m, err)
		p.keep(name)
		return
	}
	k := key{m.ID.Kind, cmp.Or(m.ID.Namespace, metav1.NamespaceDefault), m.ID.Name}
	if first, there := p.objects[k]; there && p.good[k] != first {
		p.fail(name, m, m.Errorf("metadata.name", "%s %s/%s is in %s already: remove one", k.kind, k.namespace, k.name, first.file))
		return
	}
	errs := m.Decode(into)
	for _, err := range errs {
		p.fail(name, m, err)
	}
	if old, had := p.good[k]; len(errs) > 0 {
		if had {
			p.objects[k] = old
		}
		return
	}
	p.objects[k] = object{file: name, value: into}
}

// assemble sorts objects by kind. Manifests without a namespace are in "default", as for kubectl.
func assemble(objects map[key]object) *route.Manifests {
	out := &route.Manifests{Namespaces: make(map[string]map[string]string)}
	order := func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	}
	for _, k := range slices.SortedFunc(maps.Keys(objects), order) {
		value := objects[k].value
		setNamespace(value)
		switch o := value.(type) {
		case *gatewayv1.GatewayClass:
			out.Classes = append(out.Classes, o)
		case *gatewayv1.Gateway:
			out.Gateways = append(out.Gateways, o)
		case *gatewayv1.HTTPRoute:
			out.Routes = append(out.Routes, o)
		case *gatewayv1.GRPCRoute:
			out.GRPCRoutes = append(out.GRPCRoutes, o)
		case *gatewayv1.BackendTLSPolicy:
			out.TLSPolicies = append(out.TLSPolicies, o)
		case *corev1.ConfigMap:
			out.ConfigMaps = append(out.ConfigMaps, o)
		case *gatewayv1.ReferenceGrant:
			out.Grants = append(out.Grants, o)
		case *v1alpha1.TrafficPolicy:
			out.Policies = append(out.Policies, o)
		case *mcsv1beta1.ServiceImport:
			out.Imports = append(out.Imports, o)
		case *corev1.Service:
			out.Services = append(out.Services, o)
		case *discoveryv1.EndpointSlice:
			out.Slices = append(out.Slices, o)
		case *corev1.Secret:
			out.Secrets = append(out.Secrets, withStringData(o))
		case *corev1.Namespace:
			out.Namespaces[o.Name] = o.Labels
		}
	}
	return out
}

// setNamespace gives an object that has none the one that kubectl would.
func setNamespace(value any) {
	switch value.(type) {
	case *corev1.Namespace, *gatewayv1.GatewayClass:
		return
	}
	if o, ok := value.(metav1.Object); ok && o.GetNamespace() == "" {
		o.SetNamespace(metav1.NamespaceDefault)
	}
}

// withStringData moves stringData to data, as the API server does.
func withStringData(s *corev1.Secret) *corev1.Secret {
	for name, text := range s.StringData {
		if s.Data == nil {
			s.Data = make(map[string][]byte)
		}
		s.Data[name] = []byte(text)
	}
	return s
}
