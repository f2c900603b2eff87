package check

import (
	"context"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/peering"
)

func newFacts(cluster *kubecli.Cluster, o Options) *facts {
	return &facts{cluster: cluster, options: o, made: map[kubecli.Component]*fact[*kubecli.Workload]{
		kubecli.Controller: {}, kubecli.Proxy: {}, kubecli.Node: {},
	}}
}

// facts are fetched once, however many checks need them.
type facts struct {
	cluster *kubecli.Cluster
	options Options

	own      fact[peering.Manifest]
	nodes    fact[[]corev1.Node]
	proxies  fact[[]corev1.Pod]
	leaders  fact[[]corev1.Pod]
	statuses fact[[]proxyStatus]
	peers    fact[[]v1alpha1.Peer]
	agents   fact[[]kubecli.Agent]
	imports  fact[[]kubecli.ServiceImport]
	made     map[kubecli.Component]*fact[*kubecli.Workload]
}

// proxyStatus is the status of one ready proxy.
type proxyStatus struct {
	pod    *corev1.Pod
	status admin.Status
	err    error
}

// fact is remembered.
type fact[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (f *fact[T]) get(ctx context.Context, fetch func(context.Context) (T, error)) (T, error) {
	f.once.Do(func() { f.value, f.err = fetch(ctx) })
	return f.value, f.err
}

func (f *facts) getOwn(ctx context.Context) (peering.Manifest, error) {
	return f.own.get(ctx, f.cluster.Own)
}

func (f *facts) getNodes(ctx context.Context) ([]corev1.Node, error) {
	return f.nodes.get(ctx, f.cluster.Nodes)
}

func (f *facts) getProxies(ctx context.Context) ([]corev1.Pod, error) {
	return f.proxies.get(ctx, func(ctx context.Context) ([]corev1.Pod, error) { return f.cluster.Pods(ctx, kubecli.Proxy) })
}

func (f *facts) getControllers(ctx context.Context) ([]corev1.Pod, error) {
	return f.leaders.get(ctx, func(ctx context.Context) ([]corev1.Pod, error) { return f.cluster.Pods(ctx, kubecli.Controller) })
}

func (f *facts) getPeers(ctx context.Context) ([]v1alpha1.Peer, error) {
	return f.peers.get(ctx, f.cluster.Peers)
}

func (f *facts) getAgents(ctx context.Context) ([]kubecli.Agent, error) {
	return f.agents.get(ctx, f.cluster.Agents)
}

func (f *facts) getImports(ctx context.Context) ([]kubecli.ServiceImport, error) {
	return f.imports.get(ctx, f.cluster.Imports)
}

func (f *facts) getWorkload(ctx context.Context, of kubecli.Component) (*kubecli.Workload, error) {
	return f.made[of].get(ctx, func(ctx context.Context) (*kubecli.Workload, error) { return kubecli.WorkloadOf(ctx, f.cluster, of) })
}

// ready are the proxies that answer.
func (f *facts) ready(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := f.getProxies(ctx)
	var ready []corev1.Pod
	for i := range pods {
		if kubecli.Ready(&pods[i]) {
			ready = append(ready, pods[i])
		}
	}
	return ready, err
}

// getStatuses gets the status of every ready proxy.
func (f *facts) getStatuses(ctx context.Context) ([]proxyStatus, error) {
	return f.statuses.get(ctx, func(ctx context.Context) ([]proxyStatus, error) {
		ready, err := f.ready(ctx)
		if err != nil {
			return nil, err
		}
		var out []proxyStatus
		for i := range ready {
			s := proxyStatus{pod: &ready[i]}
			s.err = f.cluster.QueryPod(ctx, ready[i].Name, func(_ *corev1.Pod, client *admin.Client) (err error) {
				s.status, err = client.Status(ctx)
				return err
			})
			if errors.Is(s.err, kubecli.ErrForbidden) {
				return nil, s.err // so are the others
			}
			out = append(out, s)
		}
		return out, nil
	})
}

// unknown is for what could not be checked: a missing permission is no fault of the installation.
func unknown(err error) Result {
	if errors.Is(err, kubecli.ErrForbidden) {
		return skip("%v", err)
	}
	return fail("%v", err)
}
