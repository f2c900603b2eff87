package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/takeover/eligible"
)

// Takeover are the checks of one Service before it is taken over.
func Takeover(cluster *kubecli.Cluster, service *corev1.Service) []Check {
	f := newFacts(cluster, Options{})
	name := service.Namespace + "/" + service.Name
	return []Check{
		{Section: name, Name: "Service", Vital: true, Run: func(context.Context) []Result { return ofService(service, cluster.Namespace) }},
		{Section: name, Name: "endpoints", Run: func(ctx context.Context) []Result { return f.endpoints(ctx, service) }},
		{Section: sectionInstallation, Name: "installed", Vital: true, Run: f.installed},
		{Section: sectionInstallation, Name: "controller", Run: f.controller},
		{Section: sectionInstallation, Name: "proxies", Run: f.proxiesReady},
		{Section: sectionTakeover, Name: "node agents", Run: f.agentsNeeded},
		{Section: sectionTakeover, Name: packetCheck, Run: f.packets},
	}
}

// ofService judges the Service itself.
func ofService(s *corev1.Service, namespace string) []Result {
	if why, remedy := eligible.Check(s, namespace); why != "" {
		return one(fail("it cannot be taken over: %s", why).hint("%s", remedy))
	}
	results := one(ok("it can be taken over: cluster IP %s", s.Spec.ClusterIP))
	for _, p := range s.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
			results = append(results, warn("port %d/%s stays with kube-proxy: only TCP is taken over", p.Port, p.Protocol))
		}
	}
	return results
}

// agentsNeeded is nodeAgents before a takeover, which needs them.
func (f *facts) agentsNeeded(ctx context.Context) []Result {
	results := f.nodeAgents(ctx)
	if agents, err := f.getAgents(ctx); err == nil && len(agents) == 0 {
		for i := range results {
			results[i].Level = Failed
		}
	}
	return results
}

// endpoints is where calls would go.
func (f *facts) endpoints(ctx context.Context, s *corev1.Service) []Result {
	local, err := f.cluster.ReadyEndpoints(ctx, s.Namespace, s.Name)
	if err != nil {
		return one(unknown(err))
	}
	imported, err := f.cluster.ServiceImport(ctx, s.Namespace, s.Name)
	if err != nil && !errors.Is(err, kubecli.ErrNoKind) {
		return one(unknown(err))
	}
	var others []string
	if own, err := f.getOwn(ctx); err == nil && imported != nil {
		others = slices.DeleteFunc(slices.Clone(imported.Clusters), func(c string) bool { return c == own.Peer.Name })
	} else if imported != nil {
		others = imported.Clusters
	}
	export := fmt.Sprintf("in a peer: eastway export %s -n %s", s.Name, s.Namespace)
	switch {
	case local == 0 && len(others) == 0:
		return one(warn("no endpoint would answer: it has no ready endpoint here, and no peer exports it").hint("%s", export))
	case len(others) == 0:
		return one(warn("no peer exports it: its calls stay in this cluster until one does").hint("%s", export))
	case local == 0:
		return one(ok("no ready endpoint here: calls go to %s", and(others)))
	}
	return one(ok("%s here, then %s", count(local, "ready endpoint", "ready endpoints"), and(others)))
}
