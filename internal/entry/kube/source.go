package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/entry/status"
	"github.com/eastway/eastway/internal/notify"
	"github.com/eastway/eastway/internal/pace"
)

// Config of a Source. REST is needed.
type Config struct {
	// REST has the API server's address and the credentials. Its rate limit is replaced.
	REST *rest.Config
	// Service is the one whose ready endpoints are the processes that serve the same Gateways; empty: this one is alone.
	Service types.NamespacedName
	// Namespace has the Service of each Gateway, whose targetPorts are ports of this process; empty: Gateways have no Service, and their
	// ports are the process's.
	Namespace string
}

// Source follows the API server.
type Source struct {
	namespace string // of Config
	client    dynamic.Interface
	named     dynamic.Interface // for what others name
	http      *http.Client
	events    notify.Signal
	changed   notify.Signal
	replicas  atomic.Int64

	mu        sync.Mutex
	feeds     []*feed // of kinds
	endpoints *feed   // of Config.Service; nil: one process
	secrets   followed
	slices    followed         // of headless Services, by the Service
	roots     followed         // ConfigMaps
	last      *route.Manifests // nil: not known yet
	statuses  []status.Object  // nil: not known yet
	problems  []string
}

// New makes a Source; Run follows.
func New(cfg Config) (*Source, error) {
	if cfg.REST == nil {
		return nil, errors.New("entry: Config.REST: where the API server is is required")
	}
	conf := rest.CopyConfig(cfg.REST)
	conf.QPS, conf.Burst, conf.RateLimiter = clientQPS, clientBurst, nil
	conf.WarningHandler = rest.NoWarnings{} // of deprecated versions: the operator cannot do anything about them
	h, err := rest.HTTPClientFor(conf)
	if err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	client, err := dynamic.NewForConfigAndClient(conf, h)
	if err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	s := newSource(client, &cfg)
	s.http = h
	named := rest.CopyConfig(conf) // a limit of its own: names that lead nowhere must not delay what all need
	if s.named, err = dynamic.NewForConfigAndClient(named, h); err != nil {
		return nil, fmt.Errorf("entry: client of the API server: %w: check the kubeconfig", err)
	}
	return s, nil
}

func newSource(client dynamic.Interface, cfg *Config) *Source {
	s := &Source{
		namespace: cfg.Namespace, client: client, named: client, events: notify.NewSignal(), changed: notify.NewSignal(),
		secrets: make(followed), slices: make(followed), roots: make(followed),
	}
	for _, r := range resources() {
		s.feeds = append(s.feeds, s.newFeed(r))
	}
	if cfg.Service.Name != "" {
		s.endpoints = s.newFeed(endpoints(cfg.Service))
	}
	return s
}

func (s *Source) newFeed(r *resource) *feed { return s.feedBy(s.client, r) }

// newNamedFeed is for one object that others name.
func (s *Source) newNamedFeed(r *resource) *feed { return s.feedBy(s.named, r) }

func (s *Source) feedBy(client dynamic.Interface, r *resource) *feed {
	return newFeed(client, &table{
		resource: r, mu: &s.mu, wake: s.events.Notify,
		objects: make(map[types.NamespacedName]metav1.Object), broken: make(map[types.NamespacedName]string),
		statuses: make(map[types.NamespacedName]status.Object),
	})
}

// Changed is signaled when Read may give something else.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Read gives what is known, nil before everything has been read once, and what is wrong. What is returned does not change.
func (s *Source) Read() (*route.Manifests, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.problems
}

// Replicas is how many processes serve the same Gateways, at least 1.
func (s *Source) Replicas() int { return max(1, int(s.replicas.Load())) }

// Run follows until ctx ends. The API server may be away at any time: what is known stays.
func (s *Source) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, f := range s.feeds {
		running.Go(func() { f.Run(ctx) })
	}
	if s.endpoints != nil {
		running.Go(func() { s.endpoints.Run(ctx) })
	}
	s.follow(ctx, &running)
	running.Wait()
	if s.http != nil {
		utilnet.CloseIdleConnectionsFor(s.http.Transport)
	}
}

func (s *Source) follow(ctx context.Context, running *sync.WaitGroup) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.events:
		}
		if !pace.Sleep(ctx, debounce) {
			return
		}
		s.events.Clear()
		s.publish(ctx, running)
		s.changed.Notify()
	}
}

// publish makes what Read gives of what is known. Until all of it is known, a new Secret too, what was published last stays.
func (s *Source) publish(ctx context.Context, running *sync.WaitGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.feeds)
	if s.endpoints != nil {
		all = append(all, s.endpoints)
		s.replicas.Store(int64(replicasOf(listOf[*discoveryv1.EndpointSlice](s.endpoints))))
	}
	settled := !slices.ContainsFunc(s.feeds, func(f *feed) bool { return !f.settled() })
	var skipped []string
	if settled {
		skipped = s.followNamed(ctx, running)
	}
	for _, named := range []followed{s.secrets, s.slices, s.roots} {
		for _, f := range named {
			all = append(all, f.feed)
			settled = settled && f.settled()
		}
	}
	s.problems = append(problems(all), skipped...)
	if !settled {
		return
	}
	s.gatherStatuses()
	if m := s.manifests(); s.last == nil || !reflect.DeepEqual(m, s.last) {
		s.last = m
	}
}

// manifests are those that belong to Eastway's Gateways, in a fixed order: what else changes in the cluster does not matter.
func (s *Source) manifests() *route.Manifests {
	m := &route.Manifests{Namespaces: make(map[string]map[string]string), Grants: list[*gatewayv1.ReferenceGrant](s, grants)}
	m.Classes, m.Gateways = ofEastway(list[*gatewayv1.GatewayClass](s, classes), list[*gatewayv1.Gateway](s, gateways))
	if s.namespace != "" {
		m.Bindings = bindings(list[*corev1.Service](s, services), s.namespace, m.Gateways)
	}
	var backends map[backend]bool
	m.Routes, m.GRPCRoutes, backends = s.routesOf(m.Gateways)
	for _, o := range list[*corev1.Service](s, services) {
		if backends[backend{"Service", nameOf(o)}] {
			m.Services = append(m.Services, o)
		}
	}
	for _, o := range list[*mcsv1beta1.ServiceImport](s, imports) {
		if backends[backend{"ServiceImport", nameOf(o)}] {
			m.Imports = append(m.Imports, o)
		}
	}
	for _, o := range list[*v1alpha1.TrafficPolicy](s, policies) {
		if o.Spec.TargetRef.OfEntry() {
			m.Policies = append(m.Policies, o)
		}
	}
	for _, o := range list[*corev1.Namespace](s, namespaces) {
		if slices.ContainsFunc(m.Routes, func(r *gatewayv1.HTTPRoute) bool { return r.Namespace == o.Name }) ||
			slices.ContainsFunc(m.GRPCRoutes, func(r *gatewayv1.GRPCRoute) bool { return r.Namespace == o.Name }) {
			m.Namespaces[o.Name] = o.Labels
		}
	}
	for _, f := range s.secrets {
		m.Secrets = append(m.Secrets, listOf[*corev1.Secret](f.feed)...)
	}
	slices.SortFunc(m.Secrets, compareNames)
	for _, f := range s.slices {
		m.Slices = append(m.Slices, listOf[*discoveryv1.EndpointSlice](f.feed)...)
	}
	slices.SortFunc(m.Slices, compareNames)
	m.TLSPolicies = tlsPoliciesOf(list[*gatewayv1.BackendTLSPolicy](s, tls), backends)
	for _, f := range s.roots {
		m.ConfigMaps = append(m.ConfigMaps, listOf[*corev1.ConfigMap](f.feed)...)
	}
	slices.SortFunc(m.ConfigMaps, compareNames)
	return m
}

// list are the objects of a kind by namespace and name. s.mu is held.
func list[T metav1.Object](s *Source, name string) []T {
	i := slices.IndexFunc(s.feeds, func(f *feed) bool { return f.name == name })
	return listOf[T](s.feeds[i])
}

func listOf[T metav1.Object](f *feed) []T {
	var out []T
	for _, o := range f.objects {
		if t, ok := o.(T); ok {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, compareNames)
	return out
}
